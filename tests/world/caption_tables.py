"""What a reader of captions knows: English and Chinese words and what they mean. Written apart from the grammar that says them."""

from __future__ import annotations

KINDS_EN = {
    "person": "person|people|toy figure|figure", "robot": "robot", "astronaut": "astronaut|spaceman|spacemans", "puppy": "puppy|puppies|dog",
    "cat": "cat|kitten", "rabbit": "rabbit|bunny|bunnies", "bird": "bird|birdie", "duck": "duck|duckling", "penguin": "penguin",
    "horse": "horse|pony|ponies", "fish": "fish", "tree": "tree", "flower": "flower|blossom", "cactus": "cactus|cactuses",
    "mushroom": "mushroom|toadstool", "grass": "(?:tuft|clump)s? of(?: tall)? grass", "cliff": "cliff", "iceberg": "iceberg|floe",
    "volcano": "volcano", "car": "car", "lorry": "lorry|lorries|truck", "train": "train", "boat": "boat|ship",
    "aeroplane": "aeroplane|airplane|plane", "balloon": "hot air balloon|balloon", "rocket": "rocket|spaceship", "ball": "ball",
    "cube": "cube|block|box|boxes", "cylinder": "cylinder|column|pillar", "cone": "traffic cone|cone", "ring": "ring|hoop", "cup": "cup|mug",
    "lantern": "lantern", "kite": "kite", "house": "house|cottage", "tower": "tower", "lighthouse": "lighthouse", "castle": "castle",
    "windmill": "windmill",
}  # fmt: skip
KINDS_ZH = {
    "person": "人|小人|玩具小人", "robot": "机器人|小机器人|玩具机器人", "astronaut": "宇航员|太空人|小宇航员", "puppy": "小狗|狗|狗狗",
    "cat": "猫|小猫|猫咪", "rabbit": "兔子|小兔子|小兔", "bird": "小鸟|鸟|鸟儿", "duck": "鸭子|小鸭子|小鸭", "penguin": "企鹅|小企鹅|玩具企鹅",
    "horse": "马|小马|马儿", "fish": "鱼|小鱼|鱼儿", "tree": "树|小树|大树", "flower": "花|小花|鲜花", "cactus": "仙人掌|小仙人掌|玩具仙人掌",
    "mushroom": "蘑菇|小蘑菇|玩具蘑菇", "grass": "草|小草|高高的草", "cliff": "悬崖|崎岖的悬崖|峭壁|陡峭的悬崖", "iceberg": "冰山|小冰山|浮冰",
    "volcano": "火山|小火山|玩具火山", "car": "小汽车|汽车|玩具车|轿车", "lorry": "卡车|货车|大货车", "train": "火车|小火车|玩具火车",
    "boat": "小船|船|船儿", "aeroplane": "飞机|小飞机|玩具飞机", "balloon": "热气球|气球|大热气球", "rocket": "火箭|小火箭|玩具火箭",
    "ball": "球|皮球|圆球|小球", "cube": "方块|立方体|盒子", "cylinder": "圆柱|圆柱体|圆筒", "cone": "圆锥|圆锥体|锥形桶", "ring": "圆环|圆圈|套环",
    "cup": "杯子|水杯|茶杯", "lantern": "灯笼|小灯笼|圆灯笼", "kite": "风筝|小风筝|纸鸢", "house": "房子|小屋|小房子", "tower": "塔|高塔|塔楼",
    "lighthouse": "灯塔|小灯塔|玩具灯塔", "castle": "城堡|小城堡|古堡", "windmill": "风车|大风车|风车磨坊",
}  # fmt: skip
COLOURS_EN = {
    "red": "red", "orange": "orange", "yellow": "yellow", "green": "green", "blue": "blue", "purple": "purple|violet", "pink": "pink",
    "white": "white", "black": "black", "brown": "brown", "grey": "grey|gray", "turquoise": "turquoise|aqua",
}  # fmt: skip
COLOURS_ZH = {
    "red": "红色|大红色", "orange": "橙色|橘色", "yellow": "黄色|明黄色", "green": "绿色|翠绿色", "blue": "蓝色|蔚蓝色", "purple": "紫色|紫罗兰色",
    "pink": "粉色|粉红色", "white": "白色|纯白色", "black": "黑色|纯黑色", "brown": "棕色|褐色", "grey": "灰色|烟灰色",
    "turquoise": "青绿色|绿松石色",
}  # fmt: skip
MATERIALS_EN = {"glossy": "shiny|glossy", "metal": "metal|metallic", "wood": "wooden", "matte": "matte|dull"}
MATERIALS_ZH = {"glossy": "亮闪闪|光滑发亮", "metal": "金属|铁皮", "wood": "木头|木制", "matte": "哑光|磨砂"}
PLACES_EN = {
    "park": r"\bpark\b|\bon a lawn", "beach": r"\bbeach", "snowfield": r"(?:in|on) the snow\b(?! falls)|snowfield|snowy field|white (?:winter )?(?:field|landscape)|white winter",
    "desert": r"\bdesert\b", "coast": r"\bcoast\b", "lake": r"\b(?:a|the|wide) lake", "hills": r"\bhills\b|hillside", "street": r"\bstreet\b",
    "forest": r"\bforest\b|\bwoods\b", "room": r"(?<!lamp )\broom\b|indoors",
}  # fmt: skip
PLACES_ZH = {
    "park": "公园|草坪上", "beach": "海滩|沙滩", "snowfield": "雪地|雪原|积雪的原野|白茫茫的", "desert": "沙漠|大漠", "coast": "海岸", "lake": "湖",
    "hills": "山丘|丘陵|山坡", "street": "街道|大街|马路", "forest": "森林|树林|林间", "room": "房间|屋子|室内|屋里",
}  # fmt: skip
TIMES_EN = {
    "dawn": r"dawn|daybreak|morning|sunrise|first sunlight", "day": r"daytime|by day|during the day|daylight|sunny|sunshine|y day\b|(?:clear|fine|overcast) day|bright sunlight|(?<!dark )blue sky",
    "sunset": r"sunset|dusk|evening|sun sets|orange and violet", "night": r"\bnight|after dark|moon|star(?:s|ry)\b|dark outside|bluish light",
}  # fmt: skip
TIMES_ZH = {
    "dawn": "清晨|黎明|拂晓|日出|早晨|晨光|粉紫色", "day": "白天|日间|晴天|阳光|日光|蓝天", "sunset": "日落|傍晚|黄昏|夕阳|晚霞|霞光|橙紫色",
    "night": "夜|晚上|月光|星空|漆黑|幽暗",
}  # fmt: skip
WEATHERS_EN = {
    "clear": r"clear (?:sky|weather|dark|blue|\w+ sky|day|night|morning|evening)|fine (?:weather|day|night|morning|evening)|weather is (?:fine|clear)|sunny|sunshine|first sunlight|sun sets|evening glow|moonlight|starry|stars",
    "cloudy": r"cloudy|overcast|clouds cover|grey clouds", "rain": r"\brain\b|rainy|raining",
    "snow": r"falling snow|snow falls|snowing|snowfall\b|snowy (?:day|night|morning|evening)|snow is falling|flakes", "fog": r"\bfog|\bmist",
}  # fmt: skip
WEATHERS_ZH = {
    "clear": "晴|夕阳|晚霞中|月光下|星空下|阳光下|晨光中", "cloudy": "阴|多云|布满", "rain": "雨", "snow": "雪中|下雪|飘雪|飞雪|雪花|下着雪", "fog": "雾",
}  # fmt: skip
STYLES_EN = {"cartoon": "cartoon", "toy": r"toy diorama|miniature|toy style|toy model"}
STYLES_ZH = {"cartoon": "卡通|动画片", "toy": "玩具模型|微缩模型|玩具微缩"}
AERIAL_EN, AERIAL_ZH = r"drone|aerial|seen from above", "航拍|俯瞰|俯拍|俯视"
# camera: what it is called; what it does (after "camera")
CAMERAS_EN = {
    "static": ("static shot|fixed camera|static camera", "(?:stay|hold)(?:s|ing) (?:still|fixed)"),
    "zoom_in": ("zoom in shot|zoom in", "zoom(?:s|ing) in"), "zoom_out": ("zoom out shot|zoom out", "zoom(?:s|ing) out"),
    "pan_up": ("pan up|pedestal up", "(?:pan(?:s|ning)|mov(?:es|ing)|pedestal(?:s|ing)) up|ris(?:es|ing)"),
    "pan_down": ("pan down|pedestal down", "(?:pan(?:s|ning)|mov(?:es|ing)|pedestal(?:s|ing)) down|sink(?:s|ing)"),
    "pan_left": ("pan left|truck left", "(?:pan(?:s|ning)|mov(?:es|ing)|truck(?:s|ing)) (?:to the )?left"),
    "pan_right": ("pan right|truck right", "(?:pan(?:s|ning)|mov(?:es|ing)|truck(?:s|ing)) (?:to the )?right"),
    "tilt_up": ("tilt up|upward tilt", "(?:tilt|look)(?:s|ing) up(?:wards)?"),
    "tilt_down": ("tilt down|downward tilt", "(?:tilt|look)(?:s|ing) down(?:wards)?"),
    "tilt_left": ("tilt (?:to the )?left", "(?:tilts|tilting|turns|turning|rotates|rotating) (?:to the )?left"),
    "tilt_right": ("tilt (?:to the )?right", "(?:tilts|tilting|turns|turning|rotates|rotating) (?:to the )?right"),
    "around_left": ("around left|arc left|orbit to the left", "(?:circl|arc|orbit)(?:es|s|ing) (?:to the )?left|mov(?:es|ing) around to the left"),
    "around_right": ("around right|arc right|orbit to the right", "(?:circl|arc|orbit)(?:es|s|ing) (?:to the )?right|mov(?:es|ing) around to the right"),
    "handheld": ("handheld (?:shot|camera|footage)", "shak(?:es|ing) slightly|sway(?:s|ing) in the hand"),
    "push_in": ("push in shot|push in|dolly in", "(?:pushes|pushing|dollies|dollying) in|mov(?:es|ing) (?:closer|forward)"),
    "pull_out": ("pull out shot|pull out|dolly out", "(?:pulls|pulling|dollies|dollying) (?:out|back)|mov(?:es|ing) back"),
    "tracking": ("tracking shot|follow shot", "(?:follow|track)(?:s|ing) [a-z ]*along|mov(?:es|ing) along"),
}  # fmt: skip
_PACE = "(?:缓缓|快速)?"
CAMERAS_ZH = {
    "static": "固定镜头|镜头静止|镜头不动|固定机位", "zoom_in": f"镜头{_PACE}(?:拉近|放大)|画面放大|变焦拉近", "zoom_out": f"镜头{_PACE}(?:拉远|缩小)|画面缩小|变焦拉远",
    "pan_up": f"镜头{_PACE}(?:上移|上升|向上平移|升高)", "pan_down": f"镜头{_PACE}(?:下移|下降|向下平移|降低)",
    "pan_left": f"镜头{_PACE}(?:左移|向左平移|往左移动|向左横移)", "pan_right": f"镜头{_PACE}(?:右移|向右平移|往右移动|向右横移)",
    "tilt_up": f"镜头{_PACE}(?:上摇|向上摇|上仰|向上仰起)", "tilt_down": f"镜头{_PACE}(?:下摇|向下摇|下俯|向下俯)",
    "tilt_left": f"镜头{_PACE}(?:左摇|向左摇|左转|向左转动)", "tilt_right": f"镜头{_PACE}(?:右摇|向右摇|右转|向右转动)",
    "around_left": f"镜头{_PACE}(?:向左环绕|左环绕|往左绕行|向左绕拍)", "around_right": f"镜头{_PACE}(?:向右环绕|右环绕|往右绕行|向右绕拍)",
    "handheld": "手持镜头|手持拍摄|镜头(?:轻微|微微)晃动", "push_in": f"镜头{_PACE}(?:推进|前移|向前推进|往前推)",
    "pull_out": f"镜头{_PACE}(?:后退|后移|向后退|往后拉)", "tracking": f"跟踪镜头|跟拍|镜头{_PACE}(?:跟随|跟着移动)",
}  # fmt: skip
# What is said to be done, first match first: words after who does it -> the actions that they may mean.
ACTIONS_EN = (
    ("its sails", "spin"), ("parked", "stand"), ("fl(?:y|ies|ying) in an arc|toss|in an arc|thrown into", "toss"), ("(?:roll|run|bump|crash)\\w* into", "collide|knock_over"), ("collid|hits?\\b|hitting", "collide"),
    ("knock|toppl\\w+ $", "knock_over"), ("chas|pursu|(?:run|rac|roll)\\w* after", "chase"), ("drink|sip|lift\\w* $|pick|takes? a|taking a", "drink"), ("pour|water(?:s|ing)? $|tips? and|tipping and", "pour"),
    ("hop\\w* along|waddl|walk|stroll|march|taxi|cruis|travel|rid(?:e|es|ing) along|chug|driv\\w* along|sail\\w* along", "walk"),
    ("driv\\w+ fast|roll\\w* fast|speed|rac(?:e|es|ing) along|sail\\w* fast|gallop|dash|dart|rush|sprint|jog|swim\\w* (?:fast|quickly)|\\brun", "run"),
    ("sail\\w* through the air", "fly"), ("driv|swim|sail\\b|sails?\\b(?! go)|sailing", "walk"),
    ("hop\\w* about|danc|\\bplay", "play"), ("jump|hop\\w* up|leap", "jump"), ("spin|turn|twirl", "spin"),
    ("toppl\\w+ over|tip\\w* over|fall\\w* over|keel", "topple"), ("fall\\w* (?:down|and|from)|drop", "fall"), ("sway|flutter|rock\\w* from", "sway"),
    ("waves?\\b|waving", "wave"), ("swing|dangl", "swing"), ("hover", "stand|float"), ("float|drift|bob", "float"),
    ("fly|flies|soar|lifts? off|lifting off|tak\\w+ off|blast", "fly"),
    ("roll", "roll"), ("slid|glid", "slide"), ("stand|stay|parked|hang|rest|\\blie|lying|wait|\\brise|rising|keep", "stand"),
)  # fmt: skip
ACTIONS_ZH = (
    ("抛|弧线", "toss"), ("浮着|浮在", "stand|float"), ("撞倒|碰倒|撞翻", "knock_over"), ("撞上|撞到|撞向|碰撞", "collide"), ("追", "chase"), ("喝水", "drink"), ("倒水|倒进|浇", "pour"),
    ("叶片|转动|转着|旋转|转圈|打转", "spin"), ("散步|走|漫步|行走|缓缓滑行|地面滑行", "walk"),
    ("快速|飞快|飞驰|疾驰|奔|跑|飞快|滚得", "run"), ("跃出水面|跳出水面", "jump"), ("欢快地蹦跳|玩|跳舞", "play"), ("跳上跳下|蹦|跳跃", "jump"), ("落|掉", "fall"),
    ("挥|招手", "wave"), ("荡来|来回摆动|摆荡|绳子上摆动", "swing"), ("摇|随风|左右摇摆|飘动", "sway"), ("滚", "roll"), ("滑", "slide|walk"),
    ("倒", "topple"), ("飘浮|漂|浮动|飘在空中", "float"), ("飞|升空", "fly"), ("行驶|航行|开|游|驶", "walk"),
    ("站|待|不动|立|停|悬|挂|静止", "stand"),
)  # fmt: skip
