"""What the default checks look for in English, as regular expressions over small letters.

A rule holds where each of its patterns is found. Words are meant as whole words.
Slurs stand as digests, so that this file can be read aloud.
"""

from __future__ import annotations

# Harmless phrases, taken out before anything is looked for.
HARMLESS = (
    r"naked (?:mole[- ]?rats?|eye|flame|truth|oats?)",
    r"nude (?:pink|beige|colou?r\w*|shades?|tones?|lipsticks?|heels|nails?|statues?|sculptures?|paintings?)",
    r"(?:same|opposite|fairer)[- ]sex|sex education|sex of the \w+",
    r"breast ?strokes?|(?:chicken|turkey|duck) breasts?|breast ?feed\w*|breast cancer",
    r"(?:statue|sculpture|painting|bust)s? of (?:an? |the )?nude",
    r"suicide (?:prevention|hotline|squad|awareness|squeeze)|(?:prevent\w*|against|stop) suicide",
    r"(?:bath|photo|seed|cherry|glitter|love) ?bombs?|bomb (?:disposal|shelter|cyclone|squad)",
    r"(?:glue|nail|staple|heat|water|toy|nerf|spray|price|speed|rubber band|paper|lego|cardboard|potato) guns?",
    r"white power (?:lines?|cables?|outlets?|cords?|plants?|stations?|tools?|sockets?|buttons?|banks?|adapters?)",
    r"torture tests?|bloody mary|gore[- ]?tex|al gore|(?:blue|great|coal|marsh|willow|long[- ]tailed) tits?|blood (?:moon|"
    r"oranges?|donations?|pressure|tests?|cells?)|ballet barre",
)

_SEXUAL = (
    r"nud(?:e|es|ity|ist|ists)|naked|unclothed|undressed|topless|porn\w*|xxx|x[- ]rated|nsfw|erotic\w*|hentai|org(?:y|ies)|"
    r"orgasm\w*|masturbat\w+|genital\w*|penis(?:es)?|vagina\w*|nipples?|private parts|(?:blow|hand|rim) ?jobs?|cum ?shots?|"
    r"(?:an )?erection|sex|sexual\w*|strip ?teas\w+|strippers?|strip clubs?|full[- ]frontal|bare(?:d)? breasts?|breasts (?:exposed|bare)|"
    r"hookers?|prostitut\w*|one[- ]night stands?|skinny[- ]dip\w*|testicles|clitoris|labia|semen|ejaculat\w*|dominatrix|"
    r"fellatio|cunnilingus|"
    r"doggy ?style|onlyfans|pornhub|pr0n|swingers|incest\w*|bestiality|zoophil\w*|necrophil\w*|deep ?throat\w*|jerk(?:s|ing)? "
    r"off|wank\w*|"
    r"fuck\w*|butt ?naked|stark naked|bdsm|bondage|fetish\w*|kink(?:y|s)|(?:make|makes|making|made) love|intercourse|uncensored|"
    r"boobs|tits|lap ?dances?|up ?skirt|"
    r"up (?:her|his) (?:skirt|dress)|voyeur\w*|rap(?:e|es|ed|ing|ist)|gang ?bang\w*|threesomes?|foursomes?|adult (?:film|video|movie)s?|"
    r"lewd\w*|busty|cam ?girls?|spread(?:s|ing)? (?:her|his|their) legs|(?:without|no|minus) (?:any |their |her |his )?clothes|"
    r"wear(?:s|ing)? nothing|intimate acts?|foreplay|horny|aroused|dildos?|creampie|milf|sluts?|whores?|anal|pussy(?! ?(?:cat|willow))|"
    r"brothels?|call ?girls?|playboy|(?:takes?|taking|took) off all (?:his|her|their) clothes|"
    r"(?:remov(?:es|e|ing)|(?:takes?|taking) off) (?:his|her|their) (?:bra|panties|underwear|lingerie)"
)
_SUGGESTIVE = (
    rf"{_SEXUAL}|sexy|thongs?|g-strings?|cleavage|twerk\w*|sexi\w+|seduc\w+|lingerie|stripping|strips (?:naked|off|down|for)|"
    rf"undress\w*|panties|bra|underwear|sensual\w*|"
    r"provocative\w*|grop\w+|molest\w*|fondl\w+|"
    r"(?:takes?|taking|pull\w*) off (?:his|her|their) (?:clothes|shirt|top|dress|skirt|pants|underwear)"
)
_NUMBER = r"(?:[1-9]|1[0-7]|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|thirteen|fourteen|fifteen|sixteen|seventeen)"
_MINOR = (
    r"child|children|kids?|minors?|under ?-?aged?|toddlers?|infants?|newborns?|bab(?:y|ies)|pre-?teens?|tweens?|juveniles?|adolescents?|"
    r"school ?(?:girl|boy|child|kid)\w*|(?:middle|elementary|primary) school\w*|junior high|kindergart\w+|"
    r"high school (?:girl|boy|student)s?|(?:my|his|her|your) (?:daughter|son|niece|nephew)|(?:little|young) (?:girl|boy)s?|"
    r"teens?|teenage\w*|pupils?|"
    rf"{_NUMBER}(?:[- ]?years?[- ]?olds?| ?y/?o)|(?:girl|boy|daughter|son)s? (?:of|aged|age) {_NUMBER}"
)
_ONE = r"(?:himself|herself|myself|themselves|yourself|itself)"
_OWN = r"(?:his|her|my|their|your|own|his own|her own|my own)"
_GROUP = (
    r"(?:jews?|jewish people|muslims?|christians?|hindus?|sikhs?|arabs?|blacks|black (?:people|men|women|man|woman)|africans?|asians?|"
    r"chinese(?: people)?|japanese(?: people)?|indians?|mexicans?|gays?|gay (?:people|men)|lesbians?|homosexuals?|"
    r"trans(?:gender)?(?: people)?|queers?|immigrants?|migrants?|refugees?|foreigners?|gypsies|roma|disabled(?: people)?|women)"
)
_VIOLENCE = (
    r"(?:kill\w*|exterminat\w+|gass?(?:ing|ed|es)?|hang(?:ing|ed)?|stoning|drown\w*|shoot\w*|shot|burn\w*|beat(?:ing)? up|"
    r"lynch\w*|wip(?:e|ing) out|eradicat\w+|slaughter\w*|murder\w*|purg(?:e|ing))"
)
_LESS_THAN_HUMAN = (
    r"(?:sub-?humans?|vermin|rats?|cockroach\w*|animals?|apes?|monkeys?|diseases?|parasites?|plague|inferior\w*|trash|scum|filth\w*|"
    r"insects?|pigs?|dogs?)"
)
_HOW = (
    r"how (?:to|one|they|do i|do you|can i)|tutorials?|instructions?|guides?|recipes?|step[- ]by[- ]step|teach(?:es)? me|show me how|diy|"
    r"blueprints?|lessons?|explain\w*|beginners?|ingredients|formulas?|learn\w*|in (?:your|my|the|a) (?:backyard|garage|kitchen|basement)"
)
_MAKE = (
    r"mak(?:e|es|ing)|build\w*|cook\w*|synthesi[sz]\w*|grow\w*|convert\w*|manufactur\w*|produc\w+|assembl\w+|print\w*|brew\w*|"
    r"home ?-?made|diy|mix\w*"
)
_WEAPON = (
    r"bombs?|explosives?|molotov\w*|grenades?|nerve (?:gas|agent)s?|sarin|anthrax|ricin|guns?|rifles?|pistols?|firearms?|"
    r"silencers?|chemical weapons?|poison gas|mustard gas|poisons?|cyanide|(?:explosive|suicide) vests?|bio-?weapons?|napalm|"
    r"full[- ]auto\w*|ieds?|tnt|c4|thermite|dynamite|detonators?|land ?mines?|"
    r"gun ?powder|flame ?throwers?|bump stocks?"
)
_DRUG = (
    r"meth|(?:meth)?amphetamines?|fentanyl|heroin|cocaine|lsd|mdma|ketamine|crack cocaine|(?:cook|cooks|cooking|smoke) "
    r"crack|magic mushrooms|opium|ghb|dmt"
)
_NAMES = (
    r"(?:donald )?trump|(?:joe )?biden|(?:barack )?obama|kamala harris|(?:vladimir )?putin|zelensk\w+|(?:emmanuel )?macron|"
    r"(?:angela )?merkel|(?:narendra )?modi|xi jinping|netanyahu|(?:elon )?musk|(?:mark )?zuckerberg|(?:hillary )?clinton|pope francis|"
    r"prince harry|king charles|taylor swift|emma watson|scarlett johansson|(?:kim )?kardashian|angelina jolie|brad pitt|tom cruise|"
    r"beyonc\w+|rihanna|billie eilish|ariana grande|selena gomez|jennifer lawrence|margot robbie|gal gadot|leonardo dicaprio|"
    r"messi|ronaldo"
)
_OFFICE = (
    r"presidents?|prime ministers?|ministers?|senators?|mayors?|chancellors?|governors?|politicians?|police chiefs?|judges?|"
    r"king|queen|pope|"
    r"celebrit(?:y|ies)|congress(?:man|woman)"
)
_ACQUAINTANCE = (
    r"(?:my|our|his|her) (?:ex|classmates?|neighbou?rs?|co-?workers?|colleagues?|teachers?|boss|girlfriend|"
    r"boyfriend|friends?)"
)
_FALSE = r"fak(?:e|es|ed|ing)|fabricat\w+|forg(?:ed|ing)|falsified|doctored|(?:makes?|making) it look (?:like|as if)"
_LIFELIKE = r"(?:photo-?)?realistic\w*|life ?like|convincing\w*|believable|authentic looking"
_MISDEED = (
    r"cocaine|drugs?|drunk\w*|brib\w+|racist|slurs?|crimes?|affair|arrest\w*|hand ?cuff\w*|promis\w+|announc\w+|say(?:s|ing)?|confess\w*|"
    r"surrender\w*|declar\w+|steal\w*|resign\w*|endors\w+|admit\w*|kissing"
)
_RECORDING = r"news|footage|cctv|videos?|recordings?|speech|statement|announc\w+|clips?|broadcasts?"

# category -> rules; a rule is the patterns that have to be found, each somewhere in the text
RULES: dict[str, tuple[tuple[str, ...], ...]] = {
    "minors": ((_MINOR, _SUGGESTIVE), (r"lolicon|shotacon|loli|shota|jailbait|p(?:a?e)dophil\w*|child (?:porn\w*|abuse)",)),
    "real_person": (
        (r"deep ?-?fakes?|deep ?-?faked",),
        (r"nudif\w+",),
        (_NAMES, rf"{_SUGGESTIVE}|prostitutes?|brothels?"),
        (_ACQUAINTANCE, rf"{_SEXUAL}|undress\w*|nudif\w*", r"photos?|faces?|pictures?|secretly|hidden"),
        (_FALSE, _RECORDING, rf"{_OFFICE}|{_NAMES}|{_ACQUAINTANCE}"),
        (r"impersonat\w+|clon(?:e|ed|ing) (?:\w+ )?voice|voice clon\w+|ai[- ]generated", rf"{_OFFICE}|{_NAMES}"),
        (r"(?:makes?|making) it look (?:like|as if)", rf"{_OFFICE}|{_NAMES}"),
        (rf"{_LIFELIKE}|{_FALSE}", rf"{_OFFICE}|{_NAMES}", _MISDEED),
        (r"face ?-?swap\w*|swap\w* (?:\w+ ){0,4}faces?|faces? (?:\w+ ){0,3}(?:on|onto|into|over)", rf"{_SEXUAL}|undress\w*"),
    ),
    "sexual": ((_SEXUAL,), (r"sexy|seductive\w*", r"bra|panties|lingerie|stripping|strips (?:naked|off|down|for)|undress\w*")),
    "gore": (
        (
            r"gor(?:e|y)|behead\w*|decapitat\w*|dismember\w*|disembowel\w*|eviscerat\w*|mutilat\w*|flay(?:s|ed|ing)?|intestines|entrails|"
            r"snuff films?|tortur\w*|cannibal\w*|human flesh|severed (?:head|limb|arm|leg|hand|finger)s?|missing limbs|impal(?:ed|ing)|"
            r"chainsaw massacre|gruesome|grisly|scalped|blood[- ]?(?:soaked|drenched|bath)|gaping wounds?|bleed(?:s|ing) (?:out|"
            r"to death)|massacred|graphic (?:violence|injur\w*|death)|guts (?:spill\w*|hang\w*)|spill\w* guts|blood everywhere|carnage|"
            r"mangled (?:bod|corpse|face|limb)\w*|pools? of blood|blood and (?:brains?|guts)|exposed bones?|vivisect\w*|bludgeon\w*",
        ),
        (r"(?:skinned|butchered|eaten|burn(?:ed|t|ing)|boiled|buried|dissected) alive",),
        (r"(?:rotting|decompos\w+|decaying|bloody|bloodied) (?:corpse|cadaver|bod(?:y|ies)|flesh|head|limb|mess|stump)s?|maggots",),
        (r"(?:blood|brains?) (?:\w+ ){0,2}(?:splatter|gush|spray|spurt|spew|squirt|drip|pour|ooz)\w*|(?:dripping|spurting|"
            r"gushing|spitting|covered in) blood",),
        (r"(?:slit|slits|slitting|cuts?|cutting|slash\w*) (?:(?:his|her|their|a|the|someone's) )?throats?",),
        (r"(?:eyes|eyeballs?) (?:are |is )?(?:being )?(?:gouged|ripped|torn)|(?:goug|ripp|tear)\w* out (?:his |her |the |their "
            r")?(?:eye|heart|tongue)\w*",),
        (r"(?:body|bodies|man|woman|person|people|someone|victim)s? (?:is |are |gets? )?(?:being )?(?:torn|ripped|sawn|sawed|"
            r"hacked) (?:apart|in half|to pieces)",),
        (r"(?:chop|cut|hack|rip|torn|tear|bit|blown?|saw)\w*[- ]off (?:his |her |their |a )?(?:limb|head|arm|leg|hand|finger)s?",),
        (r"(?:limb|head|arm|leg|hand|finger)s? (?:is |are |gets? |being )*(?:chop|cut|hack|ripp|torn|blown|sawn)\w* off",),
        (r"(?:split|crush|smash|crack)\w* (?:(?:his|her|their|a|the) )?(?:\w+'s )?(?:skull|head|bodies|body|face|rib)s?",),
        (r"stab\w* (?:\w+ ){0,4}(?:again and again|to death|repeatedly|in the (?:chest|neck|eye|heart|back|face))|heads? "
            r"(?:explod\w+|is blown off)",),
        (r"(?:beat\w*|kick\w*|chok\w*|strangl\w*|whipp\w*|starv\w*) (?:\w+ ){0,2}to death|shot in the (?:head|face)",),
        (r"(?:organs?|innards|bowels?) (?:\w+ )?(?:hang|spill|expos|fall)\w*|stab\w* (?:\w+ ){0,3}times",),
        (r"(?:brutal|bloody|graphic|sadistic)(?:ly)? (?:\w+ )?(?:murder|kill|beat|stab|attack|execut|slaughter)\w*|brutal\w*",
            r"murder\w*|kill\w*|stab\w*|bleed\w*|blood\w*"),
        (r"piles? of (?:\w+ )?(?:bodies|corpses)|(?:massacre|slaughter)\w* (?:of )?(?:\w+ )?(?:people|children|villagers|"
            r"famil\w+|civilians|prisoners)",),
        (r"eat(?:s|ing)? (?:another|a|the|his|her) (?:man|woman|person|human|victim)",),
    ),
    "self_harm": (
        (r"suicid\w*|self[- ]?(?:harm\w*|mutilat\w*|injur\w*)|pro[- ]?ana|thinspo\w*|thinspiration",),
        (rf"(?:cut|cuts|cutting|carv\w*|slit|slits|slitting|slash\w*) (?:open )?{_OWN} (?:wrists?|arms?|veins?)",),
        (rf"(?:hang|hangs|hanging|hanged|kill|kills|killing|shoot|shoots|shooting|burn|burns|burning|poison\w*) {_ONE}",),
        (rf"(?:end|ends|ending|take|takes|taking) {_OWN} (?:own )?life|overdos\w+|end(?:ing|s)? it all|nooses?",),
        (rf"(?:cut|cuts|cutting|starv\w+|drown|drowns|drowning) {_ONE}",),
        (rf"(?:gun|pistol|rifle|revolver) (?:to|against|at|in) {_OWN} (?:own )?(?:head|temple|mouth|chin)",),
        (r"(?:want|wants|wanted|wish|wishes|wishing|longs) to die|(?:swallow\w*|takes?|taking) (?:\w+ ){0,3}(?:bottle|handful|"
            r"pack|box) of (?:\w+ )?pills",),
        (r"(?:jump\w*|leap\w*|throw\w*|step\w*) (?:\w+ ){0,3}(?:in front of|under|onto) (?:an? |the )?(?:\w+ )?(?:train|tracks|"
            r"truck|bus|subway)",),
        (r"(?:jump\w*|leap\w*|steps?) (?:off|from) (?:an? |the )?(?:\w+ )?(?:bridge|roof|building|skyscraper|balcony|ledge)",
            r"death|die|dying|goodbye|farewell|despair\w*|note"),
    ),
    "hate": (
        (rf"{_VIOLENCE} (?:(?:all|the|every|these|those|of|a) )*{_GROUP}",),
        (rf"{_GROUP} (?:\w+ ){{0,4}}(?:must|should|deserve to|need to|have to) (?:all )?(?:be )?(?:die|{_VIOLENCE}|wiped out|"
            rf"deported|burned)",),
        (rf"{_GROUP} (?:(?!dressed|disguised)\w+ ){{0,3}}(?:as|are) (?:an? |the )?(?:\w+ )?{_LESS_THAN_HUMAN}",),
        (rf"{_GROUP} (?:\w+ )?like (?:an? |the )?(?:sub-?humans?|vermin|cockroach\w*|parasites?)",),
        (r"heil hitler|sieg heil|ku klux klan|kkk|white (?:power|suprem\w*)|master race|neo-?nazis?|ethnic cleansing|"
            r"untermensch\w*|race war",),
        (r"(?:glorif\w+|prais\w+|celebrat\w+|heroic|proud\w*) (?:\w+ ){0,3}(?:hitler|nazis?|swastikas?)|nazi rall(?:y|ies)",),
        (r"swastika flags?|swastikas (?:waving|on)", r"proud\w*|wav\w+|cheer\w*|white power|glor\w+"),
        (rf"{_GROUP} (?:\w+ ){{0,2}}(?:are|is) (?:all )?(?:evil|terrorists?|criminals?|thieves|rapists?|stupid|disgusting|dirty|"
            rf"the enemy)",),
        (rf"(?:hate|hates|hating|mock|mocks|mocking|ridicul\w+) (?:all )?{_GROUP}|(?:caricature|stereotype)s? of (?:an? "
            rf")?(?:\w+ )?{_GROUP}",),
        (r"holocaust (?:\w+ ){0,2}(?:never happened|denial|lie|hoax|fake)|racist (?:joke|caricature|song|chant|slur|propaganda|"
            r"rant)s?|racial slurs?|blackface",),
        (r"lynching|death to (?:all )?(?:the )?(?:\w+ )?people|racial (?:purity|inferiority)|inferior races?",),
        (rf"(?:greedy|filthy|dirty|scheming|savage|primitive|subhuman) {_GROUP}|{_GROUP} (?:\w+ )?control\w* the (?:world|banks|media)",),
        (r"burn\w* (?:down )?(?:an? |the )(?:mosque|synagogue|temple)s?", r"cheer\w*|crowd|mob|proud\w*|celebrat\w*"),
        (r"hitler", r"hero\w*|great|shining|saviou?r|genius|admir\w*|tribute|glor\w*|was right"),
        (rf"against {_GROUP}", r"propaganda|hatred|hate|slurs?|violence"),
    ),
    "illegal": (
        (_DRUG, rf"{_HOW}|at home|labs?|kitchen", rf"{_MAKE}|{_HOW}"),
        (_WEAPON, _HOW, _MAKE),
        (rf"(?:{_WEAPON})", r"home ?-?made|untraceable|ghost", _HOW),
    ),
}  # fmt: skip
# blake2s(word, 8 bytes) of slurs against groups of people
SLURS = frozenset(
    (
        "54841066b0cc0926 e8561ea1e5b0a854 9706e7ea6d9c05a7 624665de38932d82 db4fdb17dc16a9eb 65f1c9e82ef9243e "
        "f7e145eafabeb54b 162f0c6e7d3834ff 89e5da9fbe7ea3c9 28d3ee81870185df 37a3ebc484cea044 93621d6304593e93 "
        "0f0db76f266662be 669efe18a2e7d978 ee88bb6ac59e5453 53906b5f97278ebf 9d56fdbd313ea4c5 31bf8ff7570353f0 "
        "4c4c1e858b61ce3b 4871f2894612aec3 76b75491ec781163 "
    ).split()
)
