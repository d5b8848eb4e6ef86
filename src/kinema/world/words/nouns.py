"""What things are called and how they look: kinds, colours and materials, in English and Chinese, the canonical word first."""

from __future__ import annotations

from kinema.world.nature import COLOURS, KINDS
from kinema.world.scene import MATERIALS

Words = dict[str, dict[str, tuple[str, ...]]]

# kind: English nouns, Chinese nouns, Chinese measure word
_KINDS = {
    "person": ("person|toy figure|little figure", "人|小人|玩具小人", "个"),
    "robot": ("robot|toy robot|little robot", "机器人|小机器人|玩具机器人", "个"),
    "astronaut": ("astronaut|spaceman|little astronaut", "宇航员|太空人|小宇航员", "名"),
    "puppy": ("puppy|dog|little dog", "小狗|狗|狗狗", "只"),
    "cat": ("cat|kitten|little cat", "猫|小猫|猫咪", "只"),
    "rabbit": ("rabbit|bunny|little rabbit", "兔子|小兔子|小兔", "只"),
    "bird": ("bird|little bird|birdie", "小鸟|鸟|鸟儿", "只"),
    "duck": ("duck|duckling|little duck", "鸭子|小鸭子|小鸭", "只"),
    "penguin": ("penguin|little penguin|toy penguin", "企鹅|小企鹅|玩具企鹅", "只"),
    "horse": ("horse|pony|little horse", "马|小马|马儿", "匹"),
    "fish": ("fish|little fish|toy fish", "鱼|小鱼|鱼儿", "条"),
    "tree": ("tree|little tree|toy tree", "树|小树|大树", "棵"),
    "flower": ("flower|blossom|tall flower", "花|小花|鲜花", "朵"),
    "cactus": ("cactus|toy cactus|little cactus", "仙人掌|小仙人掌|玩具仙人掌", "棵"),
    "mushroom": ("mushroom|toadstool|little mushroom", "蘑菇|小蘑菇|玩具蘑菇", "个"),
    "grass": ("tuft of grass|clump of grass|tuft of tall grass", "草|小草|高高的草", "丛"),
    "cliff": ("rugged cliff|cliff|rocky cliff|craggy cliff", "崎岖的悬崖|悬崖|峭壁|陡峭的悬崖", "座"),
    "iceberg": ("iceberg|floe|toy iceberg", "冰山|小冰山|浮冰", "座"),
    "volcano": ("volcano|toy volcano|little volcano", "火山|小火山|玩具火山", "座"),
    "car": ("car|toy car|little car", "小汽车|汽车|玩具车|轿车", "辆"),
    "lorry": ("lorry|truck|toy truck", "卡车|货车|大货车", "辆"),
    "train": ("train|toy train|little train", "火车|小火车|玩具火车", "列"),
    "boat": ("boat|ship|little boat|toy boat", "小船|船|船儿", "艘"),
    "aeroplane": ("aeroplane|airplane|plane|toy plane", "飞机|小飞机|玩具飞机", "架"),
    "balloon": ("hot-air balloon|balloon|hot air balloon", "热气球|气球|大热气球", "只"),
    "rocket": ("rocket|toy rocket|spaceship", "火箭|小火箭|玩具火箭", "枚"),
    "ball": ("ball|toy ball|round ball", "球|皮球|圆球|小球", "个"),
    "cube": ("cube|block|box", "方块|立方体|盒子", "个"),
    "cylinder": ("cylinder|column|round pillar", "圆柱|圆柱体|圆筒", "个"),
    "cone": ("cone|traffic cone|toy cone", "圆锥|圆锥体|锥形桶", "个"),
    "ring": ("ring|hoop|toy ring", "圆环|圆圈|套环", "个"),
    "cup": ("cup|mug|toy cup", "杯子|水杯|茶杯", "个"),
    "lantern": ("lantern|round lantern|little lantern", "灯笼|小灯笼|圆灯笼", "盏"),
    "kite": ("kite|toy kite|little kite", "风筝|小风筝|纸鸢", "只"),
    "house": ("house|little house|cottage", "房子|小屋|小房子", "座"),
    "tower": ("tower|tall tower|toy tower", "塔|高塔|塔楼", "座"),
    "lighthouse": ("lighthouse|little lighthouse|toy lighthouse", "灯塔|小灯塔|玩具灯塔", "座"),
    "castle": ("castle|little castle|toy castle", "城堡|小城堡|古堡", "座"),
    "windmill": ("windmill|little windmill|toy windmill", "风车|大风车|风车磨坊", "座"),
}
_COLOURS = {
    "red": ("red|bright red", "红色|大红色"),
    "orange": ("orange|bright orange", "橙色|橘色"),
    "yellow": ("yellow|bright yellow", "黄色|明黄色"),
    "green": ("green|bright green", "绿色|翠绿色"),
    "blue": ("blue|bright blue", "蓝色|蔚蓝色"),
    "purple": ("purple|violet", "紫色|紫罗兰色"),
    "pink": ("pink|bright pink", "粉色|粉红色"),
    "white": ("white|pure white", "白色|纯白色"),
    "black": ("black|jet-black", "黑色|纯黑色"),
    "brown": ("brown|chocolate-brown", "棕色|褐色"),
    "grey": ("grey|gray", "灰色|烟灰色"),
    "turquoise": ("turquoise|aqua", "青绿色|绿松石色"),
}
# English: before or after the colour ("shiny red", "red wooden"); Chinese: before the colour with its particle, or before the noun.
_MATERIALS = {
    "matte": ("matte|dull", "哑光|磨砂"),
    "glossy": ("shiny|glossy", "亮闪闪|光滑发亮"),
    "metal": ("metal|metallic", "金属|铁皮"),
    "wood": ("wooden|carved wooden", "木头|木制"),
}
IS_STUFF = {"matte": False, "glossy": False, "metal": True, "wood": True}
# A kind whose colour is that of what it wears.
CLOTHES = {"person": ("shirt", "衣服"), "astronaut": ("suit", "宇航服")}


def _split(row: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {"en": tuple(row[0].split("|")), "zh": tuple(row[1].split("|"))}


KIND_WORDS: Words = {kind: _split(_KINDS[kind]) for kind in KINDS}
MEASURE_WORDS: dict[str, str] = {kind: _KINDS[kind][2] for kind in KINDS}
COLOUR_WORDS: Words = {colour: _split(_COLOURS[colour]) for colour in COLOURS}
MATERIAL_WORDS: Words = {material: _split(_MATERIALS[material]) for material in MATERIALS}
NUMBER_WORDS: dict[int, dict[str, tuple[str, ...]]] = {
    1: {"en": ("a",), "zh": ("一",)},
    2: {"en": ("two",), "zh": ("两",)},
    3: {"en": ("three",), "zh": ("三",)},
}
