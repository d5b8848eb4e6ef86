"""What people say in English for what models may know: general synonyms, words that are merely near, and words without a picture.

Values are named as in model cards; one that a card lacks is not used. Words stand between bars; each is also found in its other forms.
"""

from __future__ import annotations

# attribute -> value -> words that mean the same
SAME: dict[str, dict[str, str]] = {
    "kind": {
        "person": "person|man|woman|boy|girl|guy|lady|kid|child|human|figure|people|pedestrian|somebody|someone|character|doll",
        "robot": "robot|android|droid|automaton|bot",
        "astronaut": "astronaut|cosmonaut|spaceman|spacewoman",
        "puppy": "puppy|dog|doggy|doggo|pup|pooch|hound|terrier|poodle|labrador|golden retriever|corgi",
        "cat": "cat|kitten|kitty|feline|tomcat|tabby",
        "rabbit": "rabbit|bunny|hare|bunny rabbit",
        "bird": "bird|birdie|sparrow|robin|songbird",
        "duck": "duck|duckling|ducky",
        "penguin": "penguin",
        "horse": "horse|pony|steed|stallion|mare|foal|mustang",
        "fish": "fish|goldfish|carp|trout|salmon",
        "tree": "tree|oak|birch|maple|willow|pine tree",
        "flower": "flower|blossom|rose|tulip|sunflower|daisy|lily",
        "cactus": "cactus|saguaro",
        "mushroom": "mushroom|toadstool|fungus",
        "grass": "tuft of grass|clump of grass|blades of grass",
        "cliff": "cliff|crag|rock face|bluff",
        "iceberg": "iceberg|floe|ice floe",
        "volcano": "volcano",
        "car": "car|automobile|sedan|vehicle|taxi|cab|sports car|race car|racing car",
        "lorry": "lorry|truck|pickup|pick-up",
        "train": "train|locomotive|steam engine|railway",
        "boat": "boat|ship|sailboat|sailing boat|yacht|vessel|dinghy",
        "aeroplane": "aeroplane|airplane|plane|aircraft|jet|airliner",
        "balloon": "hot-air balloon|hot air balloon|balloon",
        "rocket": "rocket|spaceship|spacecraft|space ship|space rocket",
        "ball": "ball|football|soccer ball|basketball|beach ball|sphere",
        "cube": "cube|block|box|crate|dice",
        "cylinder": "cylinder|column|pillar|barrel|drum",
        "cone": "cone|traffic cone",
        "ring": "ring|hoop|hula hoop",
        "cup": "cup|mug|teacup|goblet",
        "lantern": "lantern|paper lantern",
        "kite": "kite",
        "house": "house|cottage|cabin|hut|home",
        "tower": "tower|tower of blocks|turret",
        "lighthouse": "lighthouse|light house",
        "castle": "castle|fortress|citadel",
        "windmill": "windmill|wind mill",
    },
    "colour": {
        "red": "red|crimson|scarlet|ruby|vermilion",
        "orange": "orange|tangerine|amber|ginger",
        "yellow": "yellow|golden yellow|lemon",
        "green": "green|emerald|lime|lime green|olive",
        "blue": "blue|navy|azure|sky-blue|sky blue|cobalt|indigo",
        "purple": "purple|violet|lilac|lavender|magenta",
        "pink": "pink|rose-coloured|fuchsia",
        "white": "white|snow-white|ivory|pale white",
        "black": "black|jet black|ebony|pitch-black",
        "brown": "brown|chestnut|chocolate|tan",
        "grey": "grey|gray|ash-grey",
        "turquoise": "turquoise|aqua|teal|cyan|aquamarine",
    },
    "material": {
        "glossy": "shiny|glossy|polished|gleaming|glittering",
        "metal": "metal|metallic|steel|iron|chrome|tin",
        "wood": "wooden|wood",
        "matte": "matte|matt|dull",
    },
    "count": {
        "1": "one|a single",
        "2": "two|a pair of|a couple of|twin|2",
        "3": "three|3|a trio of",
    },
    "place": {
        "park": "park|lawn|meadow|garden|backyard|grassland|on the grass|playground",
        "beach": "beach|seaside|sandy shore|seashore",
        "snowfield": "snowfield|in the snow|on the snow|through the snow|snowy field|field of snow|snow field|on the ice|tundra|"
        "snowy landscape",
        "desert": "desert|dunes|sand dunes|sahara|desert sand",
        "coast": "coast|shore|shoreline|coastline|by the sea|rocky shore",
        "lake": "lake|pond|lakeside|lakeshore|reservoir",
        "hills": "hills|hill|hillside|mountains|mountain|hilltop|highlands",
        "street": "street|road|avenue|city street|highway|pavement|sidewalk|downtown|city",
        "forest": "forest|woods|woodland|wood's edge|in the trees|among trees",
        "room": "room|indoors|living room|bedroom|kitchen|inside a house|on the floor|playroom|nursery|studio",
    },
    "time": {
        "dawn": "dawn|daybreak|sunrise|early morning|early in the morning|in the morning|morning|first light",
        "day": "day|daytime|daylight|noon|midday|afternoon|sunny|sunshine|sunny day|sunlit|sunlight|broad daylight",
        "sunset": "sunset|dusk|sundown|evening|twilight|golden hour|as the sun goes down|sun goes down|sun is setting|setting sun|"
        "sunset lighting",
        "night": "night|nighttime|midnight|after dark|moonlight|moonlit|starry|stars|under the moon|under the stars|starlight",
    },
    "weather": {
        "clear": "clear sky|clear skies|cloudless|blue sky|fine weather",
        "cloudy": "cloudy|overcast|clouds|grey clouds|gloomy sky",
        "rain": "rain|rainy|raining|rainstorm|downpour|drizzle|pouring|storm|stormy|thunderstorm|pouring with rain",
        "snow": "snowing|snowfall|snowstorm|snowy|blizzard|flakes|snowflakes|falling snow|heavy snow|snow is falling|flakes come down",
        "fog": "fog|foggy|mist|misty|haze|hazy|heavy fog",
    },
    "direction": {
        "left": "to the left|leftwards|leftward|towards the left",
        "right": "to the right|rightwards|rightward|towards the right",
    },
    "camera": {
        "static": "static|static camera|static shot|still camera|locked-off|tripod|camera hardly moves|camera does not move|fixed camera",
        "zoom_in": "zoom in|zooms in on|camera zooms in|slow zoom|zoom in slowly|slowly zoom in",
        "zoom_out": "zoom out|zoom out from|camera zooms out",
        "pan_left": "pan left|camera pans left|pans to the left|camera panning left",
        "pan_right": "pan right|camera pans right|pans to the right|camera panning right",
        "pan_up": "crane up|camera rises|camera rises with it|crane shot|camera goes up",
        "pan_down": "crane down|camera sinks|camera descends",
        "tilt_up": "tilt up|camera tilts up|tilt upward|camera tilts upward|camera looks up",
        "tilt_down": "tilt down|camera tilts down|tilt downward|camera looks down",
        "tilt_left": "camera turns left",
        "tilt_right": "camera turns right",
        "around_left": "orbit left|orbit left around|arc left|camera orbits left",
        "around_right": "orbit right|orbit right around|arc right|camera orbits right|orbit|orbiting shot|camera orbits|camera circles",
        "handheld": "handheld|hand-held|hand held|filmed by hand|shaky cam|shaky camera|handheld camera",
        "push_in": "push in|dolly in|camera pushes in|camera slowly pushes in|camera moves closer|camera approaches|slow push in",
        "pull_out": "pull out|dolly out|pull back|camera pulls back|camera pulls out|pulling slowly back|pulls slowly back",
        "tracking": "tracking shot|tracking|follow shot|camera tracks it|camera follows|camera follows it|camera tracking|following shot",
    },
    "view": {
        "aerial": "drone view|aerial view|drone shot|aerial shot|drone footage|aerial footage|bird's eye view|bird's-eye view|from above|"
        "seen from a drone|from a drone|overhead shot|aerial|top-down view",
    },
    "style": {
        "cartoon": "cartoon|animated|animation|animated film|comic|pixar-like|pixar style|anime",
        "toy": "toy style|toy diorama|diorama|miniature|claymation|stop motion|tilt-shift",
    },
    "action": {
        "stand": "stand|stand still|sit|rest|wait|be parked|parked|lie|stay|hang still|hang",
        "walk": "walk|stroll|wander|march|waddle|trot|drive|cruise|sail|swim|travel|strut|stride|go for a walk|taxi",
        "run": "run|sprint|dash|race|gallop|rush|speed|jog|zoom past|thunder|hurry",
        "jump": "jump|leap|hop|bounce up and down|skip|leap about|jump around|hop around|bounce",
        "spin": "spin|twirl|rotate|turn|whirl|turn on the spot|revolve|turn slowly on the spot",
        "play": "play|frolic|romp|dance|have fun|have the time of its life|play around|gambol",
        "wave": "wave|wave hello|wave goodbye|wave at us|greet|wave a hand",
        "sway": "sway|swaying|rock to and fro|flutter|rocks on|rocks gently|bend in the wind|dance in the wind|rock from side to side",
        "fall": "fall|fall down|drop|plummet|bounce down|fall from the sky|tumble down|drop from the sky",
        "roll": "roll|roll along",
        "slide": "slide|glide|skid|slip|slither",
        "swing": "swing|swing to and fro|dangle",
        "float": "float|drift|hover|bob|levitate|adrift|hang over|hang in the air",
        "fly": "fly|soar|take off|lift off|blast off|launch|flap",
        "toss": "toss|throw into the air|hurl|fly in an arc",
        "topple": "topple|topple over|tip over|fall over|collapse|crumble|keel over|come crashing to the ground",
        "collide": "collide with|crash into|hit|smash into|bump into|run into|slam into|ram",
        "knock_over": "knock over|knock down|bowl over|topple over a|push over",
        "chase": "chase|chase after|run after|pursue|hunt|is after|are after|race after",
        "drink": "drink|drink from|sip|take a sip|take a sip from|sip from",
        "pour": "pour|pour water|water the|pour water into|pour water onto",
        "waves": "waves|waves crash|waves break|waves crash against|waves break against|surf",
    },
    "relation": {
        "left_of": "to the left of|on the left of|left of",
        "right_of": "to the right of|on the right of|right of",
        "behind": "behind",
        "in_front_of": "in front of",
    },
    "clothes": {
        "shirt": "shirt|t-shirt|tee|jacket|sweater|jumper|coat|dress|raincoat",
        "suit": "suit|spacesuit|space suit",
    },
}
# attribute -> value -> words for other things, of which the value is the nearest
NEAR: dict[str, dict[str, str]] = {
    "kind": {
        "person": "knight|king|queen|prince|princess|soldier|policeman|chef|farmer|pirate|wizard|clown|dancer|baby|santa",
        "horse": "zebra|donkey|mule|unicorn|camel|deer|moose|cow|bull",
        "cat": "tiger|lion|leopard|panther|lynx|cheetah|cougar|jaguar",
        "puppy": "wolf|fox|coyote|jackal|husky",
        "rabbit": "squirrel|hamster|guinea pig|chinchilla",
        "bird": "eagle|hawk|owl|parrot|pigeon|dove|crow|raven|seagull|gull|swallow|hummingbird|falcon",
        "duck": "goose|swan|chicken|hen|rooster",
        "fish": "shark|dolphin|whale|koi",
        "tree": "palm|palm tree|fir|pine|bush|christmas tree",
        "flower": "poppy|orchid|dandelion",
        "car": "jeep|limousine|convertible|buggy|suv",
        "lorry": "bus|van|fire engine|fire truck|tractor|bulldozer|ambulance",
        "train": "tram|subway|metro",
        "boat": "canoe|ferry|kayak|raft|submarine|speedboat",
        "aeroplane": "helicopter|glider|fighter jet",
        "rocket": "ufo|space shuttle|missile|shuttle",
        "balloon": "airship|zeppelin|blimp",
        "cup": "glass|bottle|bowl|vase|teapot",
        "house": "barn|shed|tent|villa|mansion|church|school|building",
        "tower": "skyscraper|obelisk|chimney",
        "castle": "palace|temple|ruin",
        "ring": "donut|doughnut|wheel|bracelet|tyre|tire",
        "lantern": "lamp|torch|candle",
        "cone": "pyramid",
    },
    "count": {"3": "four|five|six|seven|eight|nine|ten|a dozen|many|several|a few|a group of|a herd of|a flock of|lots of"},
    "colour": {"yellow": "gold|golden|blond|beige", "grey": "silver|silvery", "red": "maroon|burgundy"},
    "place": {
        "snowfield": "arctic|antarctica|glacier|north pole|ice",
        "forest": "jungle|rainforest",
        "desert": "savanna|savannah|mars|moon surface",
        "lake": "river|creek|stream",
        "hills": "valley|canyon|countryside|field",
        "street": "alley|bridge|parking lot|marketplace",
        "coast": "harbour|harbor|ocean|sea|bay|port",
        "room": "office|classroom|museum|hall|library",
    },
    "style": {"cartoon": "manga|pixel art|watercolour|watercolor"},
    "action": {"walk": "graze|crawl|climb|ride|approach|pass by", "play": "sing|laugh|perform", "stand": "sleep|nap|watch|look|"
    "pose|smile|eat"},
}  # fmt: skip
# value -> the next best where a card lacks it
FALLBACKS: dict[str, dict[str, tuple[str, ...]]] = {
    "kind": {"lorry": ("car",), "duck": ("bird",), "astronaut": ("person",), "cylinder": ("cube",)},
    "action": {"run": ("walk",), "roll": ("walk",), "slide": ("walk",), "wave": ("stand",), "topple": ("fall",)},
    "place": {"coast": ("beach",), "hills": ("park",)},
    "time": {"dawn": ("day",)},
    "camera": {"push_in": ("zoom_in",), "pull_out": ("zoom_out",), "tilt_up": ("pan_up",), "tilt_down": ("pan_down",)},
}
# Politeness, quality tags and talk about the video itself: regular expressions over small letters.
IDLE = (
    r"(?:could|can|would|will) you (?:please )?(?:make|create|generate|show|give|draw)(?: me| us)?(?: an?(?: short)? (?:video|"
    r"clip|film|movie)(?: of| where| in which)?)?",
    r"(?:please )?(?:show|give|make|create|generate|draw|render|produce)(?: me| us)?(?: an?(?: short)? (?:video|clip|film|movie|"
    r"animation)"
    r"(?: of| about| where| in which| that shows)?)?(?=\W+(?:an?|the|one|two|three|some|how)\b)",
    r"(?:i(?: would|'d)? (?:like|love|want|wish)|i want)(?: to (?:see|have|get|watch))?(?: an?(?: short)? (?:video|clip|film) "
    r"(?:of|where|in which))?",
    r"(?:a|the)(?: short)? (?:video|clip|footage|movie) (?:showing|in which|where|of|that shows)",
    r"please|pls|plz|thanks?(?: you)?(?: very much| in advance)?|many thanks",
    r"(?:in )?(?:full |ultra |super )?(?:hd|uhd|fhd|qhd)(?: quality)?|\d{3,4}p|[248] ?k(?: (?:resolution|quality|uhd|hdr|video|"
    r"footage))?|hdr|\d+ ?fps",
    r"(?:ultra|hyper|super|highly|very|extremely|insanely|photo)?[- ]?(?:realistic|detailed|realism)|high(?:est)?[- ](?:quality|"
    r"resolution|detail|definition)|"
    r"(?:best|top|good|excellent) quality|masterpiece|award[- ]winning|trending on \w+|octane render|unreal engine(?: \d)?|"
    r"ray[- ]traced|intricate(?: details?)?|sharp focus|professional(?: video| photo)?|stunning|breathtaking|epic|amazing|gorgeous|"
    r"cinematic(?: (?:shot|lighting|look|style|footage|view))?(?: of)?|film grain|depth of field|bokeh|volumetric lighting|"
    r"dramatic lighting|"
    r"shot on (?:arri|red|iphone|35 ?mm)\w*|slow[- ]motion",
)  # fmt: skip
# Words that carry a sentence and may go without being missed.
SMALL = frozenset(
    (
        "a an the this that these those there here it its it's he she they them their his her him who which what one's is are "
        "was were be "
        "been being am do does did has have had of in on at by to from with and or as while into onto over under above below up "
        "down out off "
        "through across along about around near next after before then first again so very quite just only also too some any "
        "all both each "
        "i you me my your we us our if when where how another other others against for like until now slowly gently quickly "
        "camera picture video clip shot scene view footage shows show showing see seen happily comes come coming goes go going gets get "
        "lighting light style mood nothing else somewhere far away right left still"
    ).split()
)
NEGATIONS = frozenset("no without".split())
PRONOUNS = frozenset("it them him her".split())
# Real words that look like misspelt known ones.
NO_TYPOS = frozenset(
    (
        "cattle towel plant plants planet planes bell bull bill coin goat cart card care cared hose mouse moose shirt short "
        "sheep shop chip "
        "treat three threw brown crown clown green great greek groan while whale write white black block blank brook plane plain "
        "roast coast toast beast breast peach reach teach bench brand broad bread blend blood floor flour power lower tower shower robe "
        "robber rubber rabble bubble rookie socket pocket racket packet jacket rocker locker wallet pallet ballet bullet "
        "windy winter wander wonder thunder marine margin market carrot parrot pirate private prince police poster master "
        "muster lasted faster caste battle cable castor house horse nurse curse course"
    ).split()
)
