"""Whole English sentences for dense and structured captions."""

from __future__ import annotations

from kinema.world.phrases import Phrases

ENGLISH = Phrases(
    look={
        "person": (
            "{the} has a round head, two arms and two legs.",
            "{the} is a simple toy with a round head and short arms.",
        ),
        "robot": (
            "{the} has a boxy body, glowing eyes and an antenna.",
            "{the} is built of boxes, with glowing eyes in its square head.",
        ),
        "astronaut": ("{the} wears a big round helmet with a visor.", "{the} has a round helmet and a thick suit."),
        "puppy": (
            "{the} has floppy ears, a round head and four short legs.",
            "{the} has four short legs, floppy ears and a tail.",
        ),
        "cat": (
            "{the} has pointed ears and a long tail held up in a curve.",
            "{the} has two pointed ears and a long curved tail.",
        ),
        "rabbit": ("{the} has two long upright ears and a round body.", "{the} has a round body and long ears."),
        "bird": (
            "{the} has a small beak, two wings and thin legs.",
            "{the} has a round body with a small beak and two wings.",
        ),
        "duck": (
            "{the} has a flat beak, a long neck and an upturned tail.",
            "{the} has a plump body and a broad flat beak.",
        ),
        "penguin": (
            "{the} has a pale belly, a small beak and two flippers.",
            "{the} has an upright plump body and two flippers.",
        ),
        "horse": (
            "{the} has four long legs, a mane and a tail.",
            "{the} has a long neck, four slender legs and a tail.",
        ),
        "fish": ("{the} has a smooth body, fins and a tail fin.", "{the} has a rounded body with a fin at its tail."),
        "tree": (
            "{the} has a straight trunk and a full crown of leaves.",
            "{the} has a rounded crown on a short trunk.",
        ),
        "flower": (
            "{the} has broad petals on a slender stem with leaves.",
            "{the} has six petals around a golden middle.",
        ),
        "cactus": (
            "{the} has a thick stem with two raised arms.",
            "{the} has a thick stem dotted with spines, and two arms.",
        ),
        "mushroom": (
            "{the} has a wide dotted cap on a thick stem.",
            "{the} has a dotted cap and a pale stem with a face.",
        ),
        "grass": ("{the} has long narrow blades that fan out.", "{the} has many slender blades."),
        "cliff": (
            "{the} is built of slabs of rock, with grass on top.",
            "{the} rises steeply out of the water, with boulders at its foot.",
        ),
        "iceberg": ("{the} has sharp tilted peaks with pale tips.", "{the} rises out of the water with jagged peaks."),
        "volcano": (
            "{the} has a glowing crater, with lava running down.",
            "{the} has the shape of a broad cone, with smoke above its glowing crater.",
        ),
        "car": (
            "{the} has a glass cabin, round lamps and dark wheels.",
            "{the} has a rounded body and a glass cabin with a roof.",
        ),
        "lorry": ("{the} has a cab in front of a high cargo box.", "{the} has a cab, a high box and six wheels."),
        "train": (
            "{the} has a steam engine with a funnel and one waggon.",
            "{the} is a small steam engine that pulls one waggon.",
        ),
        "boat": ("{the} has a curved hull, a mast and sails.", "{the} has a large sail and a small one on its mast."),
        "aeroplane": (
            "{the} has wide wings, a tail and a turning propeller.",
            "{the} has a stout body, wide wings and a propeller.",
        ),
        "balloon": (
            "{the} is a great striped ball with a small basket below.",
            "{the} carries a small basket on ropes under its round envelope.",
        ),
        "rocket": (
            "{the} has a round belly, a pointed nose and fins at its foot.",
            "{the} has portholes, fins and a pointed nose.",
        ),
        "ball": (
            "{the} is perfectly round, with a band around it.",
            "{the} has a smooth round shape and one broad band.",
        ),
        "cube": (
            "{the} has flat square sides and two crossing bands.",
            "{the} has six square faces with bands like a parcel.",
        ),
        "cylinder": (
            "{the} is straight and round, with flat ends.",
            "{the} looks like a drum with a band over its ends.",
        ),
        "cone": ("{the} is wide at the foot and pointed at the top.", "{the} has a round foot and a pointed tip."),
        "ring": ("{the} is round with a wide hole in the middle.", "{the} has a big hole in the middle."),
        "cup": ("{the} has a round rim and a handle.", "{the} has a handle on one side."),
        "lantern": (
            "{the} has a rounded body with glowing panels and a tassel.",
            "{the} has glowing panels and a tassel below.",
        ),
        "kite": ("{the} has the shape of a diamond, with a tail of bows.", "{the} is a flat diamond with a long tail."),
        "house": (
            "{the} has a door, a chimney and a pitched roof.",
            "{the} has a gabled roof with a chimney above its door.",
        ),
        "tower": ("{the} is built of toy blocks, one upon the other.", "{the} is a tall pile of blocks."),
        "lighthouse": (
            "{the} is a striped tower with a shining lamp on top.",
            "{the} has stripes, a narrow gallery and a lamp under its cap.",
        ),
        "castle": (
            "{the} has four round towers with pointed roofs and a gate.",
            "{the} has brick walls between round towers with pointed roofs.",
        ),
        "windmill": ("{the} has four big sails in front.", "{the} has a tall body with four broad sails."),
    },
    motion={
        "stand": ("{the} stays in one spot and hardly moves.", "{the} keeps its place the whole time."),
        "stand_windmill": (
            "{the} stays in its place while its sails turn.",
            "{the} keeps its place, and its sails go round.",
        ),
        "waves": (
            "White foam splashes up where the water hits the rock.",
            "Again and again the water breaks into white foam at the foot of the rock.",
        ),
        "walk": ("{the} moves on at a steady pace.", "{the} moves evenly across the picture."),
        "run": ("{the} crosses the picture at high speed.", "{the} moves on at a fast pace."),
        "jump": (
            "{the} springs up, comes down and springs up again.",
            "Again and again {the} leaves the ground and lands.",
        ),
        "spin": (
            "{the} turns about an upright axis and shows every side.",
            "{the} turns round and round in one spot.",
        ),
        "spin_windmill": ("The sails of {the} turn round and round.", "{the} stands still while its sails go round."),
        "play": ("{the} hops merrily from side to side.", "{the} moves with merry little hops."),
        "wave": (
            "{the} raises one hand and moves it to and fro.",
            "One hand goes up and swings from side to side in greeting.",
        ),
        "sway": ("{the} moves gently to one side and then to the other.", "{the} leans to and fro in a slow rhythm."),
        "fall": (
            "{the} drops from above, hits the ground, bounces and comes to rest.",
            "After the drop {the} bounces a few times, lower each time.",
        ),
        "roll": ("{the} turns over and over without slipping.", "{the} turns as it goes, without slipping."),
        "slide": (
            "{the} glides over the ground, slows down and stops.",
            "{the} loses speed little by little until it stops.",
        ),
        "swing": ("{the} moves to and fro like a pendulum.", "{the} goes up on one side and then on the other."),
        "float": (
            "{the} rises and sinks a little, slowly and gently.",
            "{the} moves softly, as if it weighed nothing.",
        ),
        "fly": ("{the} moves through the air without touching the ground.", "{the} stays up in the air."),
        "fly_rocket": (
            "{the} lifts off with a flame, hovers for a moment and comes down.",
            "{the} climbs, hovers and sinks back to the ground.",
        ),
        "toss": (
            "{the} rises in a high arc, comes down and lands.",
            "{the} goes up, slows down at the top and drops again.",
        ),
        "topple": (
            "{the} tips slowly at first, then faster, and ends up lying down.",
            "{the} loses its balance, tips and hits the ground.",
        ),
        "collide": ("The blow sets {other} in motion.", "{other} is pushed away by the blow."),
        "knock_over": (
            "After the blow {other} tips and falls to the ground.",
            "First comes the blow, then {other} tips and falls.",
        ),
        "chase": (
            "{other} runs ahead, and {the} follows close behind.",
            "{the} keeps close to {other}, which runs ahead.",
        ),
        "drink": ("First {other} is lifted, then {the} drinks.", "{the} lifts {other} to drink."),
        "pour": ("{the} tips, and the water flows down.", "A stream of water flows out as {the} tips."),
    },
    ground={
        "park": ("The ground is a wide lawn with small daisies.", "All around lies a lawn dotted with daisies."),
        "beach": (
            "The ground is fine sand, and small waves run up behind it.",
            "All around lies smooth sand at the edge of the sea.",
        ),
        "snowfield": ("The ground is covered with smooth snow.", "All around lies deep snow with faint blue shades."),
        "desert": ("The ground is sand with ripples made by the wind.", "All around lies rippled sand."),
        "coast": ("The ground is cracked rock with patches of moss.", "All around lies bare rock above the dark sea."),
        "lake": (
            "The ground is a meadow with small flowers beside calm water.",
            "All around lies a meadow at the edge of calm water.",
        ),
        "hills": ("The ground is a mown meadow with a winding path.", "All around lies a mown meadow in stripes."),
        "street": (
            "The ground is asphalt with dashed lines and a kerb.",
            "All around lies asphalt with painted dashes and a paved walk.",
        ),
        "forest": (
            "The ground is strewn with moss and fallen leaves.",
            "All around lies a forest floor with moss and fallen leaves.",
        ),
        "room": (
            "The ground is a floor of wooden boards with a round rug.",
            "All around are wooden boards and a round rug.",
        ),
    },
    far={
        "park": (
            "Behind stand round trees in front of low hills.",
            "In the background are round trees and low hills.",
        ),
        "beach": (
            "Behind lies the sea with a palm tree and a white sailing boat.",
            "In the background the sea stretches out, with a sailing boat and a palm tree.",
        ),
        "snowfield": ("Behind stand fir trees with white tips.", "In the background are snowy firs and pale hills."),
        "desert": (
            "Behind stand cacti and brown rocks before the dunes.",
            "In the background are cacti, rocks and sand dunes.",
        ),
        "coast": (
            "Behind rise rugged cliffs above the surf.",
            "In the background are cliffs, rocks in the surf and the sea.",
        ),
        "lake": (
            "Behind lies the calm lake with reeds and dark firs.",
            "In the background are reeds, still water and a row of firs.",
        ),
        "hills": (
            "Behind lie rolling hills with round bushes.",
            "In the background rolling hills rise one behind the other.",
        ),
        "street": (
            "Behind stands a row of coloured houses with street lamps.",
            "In the background are houses with gables and two street lamps.",
        ),
        "forest": (
            "Behind stand tall trunks with dark crowns.",
            "In the background are tall dark firs close together.",
        ),
        "room": (
            "Behind are a curtained window, a bookshelf and a floor lamp.",
            "In the background are a bookshelf, a lamp and a window with curtains.",
        ),
    },
    afloat={
        "beach": (
            "All around is the clear sea, with a sandy shore behind.",
            "Behind the water lies a beach with palm trees.",
        ),
        "coast": ("All around is the dark sea, with rugged cliffs behind.", "Behind the waves rise steep cliffs."),
        "lake": (
            "All around is calm water with reeds and firs on the shore.",
            "Behind the calm water stand reeds and a row of firs.",
        ),
    },
    sky={
        "dawn": (
            "The weather is clear, and a small pale sun hangs low in a pink and lavender sky.",
            "Soft morning light comes from a clear sky of pink and lavender.",
        ),
        "day": (
            "The weather is clear, with small white clouds in a blue sky.",
            "Bright sunlight comes from a clear blue sky with a few white clouds.",
        ),
        "sunset": (
            "The weather is clear, and a low sun glows in an orange and violet sky.",
            "Warm evening light comes from a clear sky of orange and violet.",
        ),
        "night": (
            "The weather is clear, and a moon and stars shine in the dark blue sky.",
            "A moon and many stars shine in the clear dark sky.",
        ),
    },
    light={
        "dawn": ("The weather is clear, and soft morning light lies over everything.",),
        "day": ("The weather is clear, and bright sunlight falls on everything.",),
        "sunset": ("The weather is clear, and warm evening light falls on everything.",),
        "night": ("The weather is clear, and dim bluish light lies over everything.",),
    },
    window={
        "dawn": ("Soft morning light comes in through the window.",),
        "day": ("Bright daylight comes in through the window.",),
        "sunset": ("Warm evening light comes in through the window.",),
        "night": ("It is dark outside, and a lamp glows.",),
    },
    weather={
        "cloudy": (
            "Big clouds cover the sky, and shadows are soft and pale.",
            "The sky is overcast, and the light is even and soft.",
        ),
        "rain": ("Rain falls in slanted streaks from dark clouds.", "It is raining, and the sky is dark with clouds."),
        "snow": (
            "Snow is falling in soft flakes from a pale sky.",
            "It is snowing, and flakes drift down from a pale sky.",
        ),
        "fog": ("Fog hangs in the air, and far things fade away.", "Far things fade into the pale fog."),
    },
    weather_below={
        "cloudy": ("The weather is cloudy, and shadows are soft and pale.",),
        "rain": ("Rain falls in slanted streaks.", "It is raining, and everything looks dark and wet."),
        "snow": ("Snow is falling in soft flakes.", "It is snowing, and white flakes drift down."),
        "fog": ("Fog hangs in the air, and far things fade away.",),
    },
    atmosphere={
        "dawn": "fresh and gentle",
        "day": "cheerful and bright",
        "sunset": "warm and calm",
        "night": "quiet and dreamy",
    },
    weather_mood={
        "cloudy": "subdued",
        "rain": "rainy and cool",
        "snow": "wintry and hushed",
        "fog": "hazy and mysterious",
    },
    shot={
        "static": "fixed shot",
        "zoom": "zoom shot",
        "pan": "travelling shot",
        "tilt": "tilting shot",
        "around": "orbiting shot",
        "handheld": "handheld shot",
        "push": "push-in shot",
        "pull": "pull-out shot",
        "tracking": "tracking shot",
        "medium": "medium shot",
        "wide": "wide shot",
        "level": "eye level",
        "high": "high angle from above",
    },
    style={
        "toy": ("toy diorama, soft 3D shading", "stylised 3D animation with simple, bold shapes"),
        "cartoon": ("flat cartoon with outlines", "2D cartoon style, flat colours and dark outlines"),
    },
    style_sentence={
        "toy": ("The scene looks like a toy diorama.", "Everything looks like a miniature toy model."),
        "cartoon": (
            "The picture is a cartoon with flat colours and outlines.",
            "Everything is drawn in cartoon style with dark outlines.",
        ),
    },
    relation={
        "left_of": ("{the} is to the left of {other}.", "{the} can be seen on the left of {other}."),
        "right_of": ("{the} is to the right of {other}.", "{the} can be seen on the right of {other}."),
        "behind": ("{the} is behind {other}.", "{the} can be seen behind {other}."),
        "in_front_of": ("{the} is in front of {other}.", "{the} can be seen in front of {other}."),
        "bigger_than": ("{the} is bigger than {other}.", "{the} is clearly larger than {other}."),
        "smaller_than": ("{the} is smaller than {other}.", "{the} is clearly smaller than {other}."),
    },
    sound={
        "silence": "",
        "rain": "falling rain",
        "wind": "wind",
        "waves": "waves",
        "wave_crash": "waves crashing against rock",
        "ripples": "lapping water",
        "birds": "a bird's chirping",
        "duck": "a duck's quacking",
        "engine": "a running engine",
        "train": "the rattle of a train",
        "propeller": "a humming propeller",
        "rocket": "a roaring rocket",
        "burner": "a hissing burner",
        "step": "footsteps",
        "hooves": "hoofbeats",
        "land": "soft thuds of landing",
        "impact": "impacts on the ground",
        "collision": "the knock of a collision",
        "hit_ground": "a heavy thud",
        "roll": "rolling",
        "slide": "scraping",
        "sip": "sipping",
        "pour": "pouring water",
        "splash": "splashing water",
    },
)
