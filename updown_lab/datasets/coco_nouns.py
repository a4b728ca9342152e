"""What people call COCO's 80 categories, and what only sounds like one of them.

The lists are our own. A word is listed if most photos whose captions say it have a box of the category, counted on the
5,000 photos of COCO val2017: "table" is (56 % have a dining table), "sign" (23 %), "plant" and "light" are not.
"""

from updown_lab.errors import DataInvalid

_CATEGORIES = """
    person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
    parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
    handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
    surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
    broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
    laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
    scissors, teddy bear, hair drier, toothbrush
"""

#: Names that other files give the same categories (Pascal's, and those of many YOLO lists).
OTHER_NAMES = {
    "aeroplane": "airplane", "motorbike": "motorcycle", "sofa": "couch", "tvmonitor": "tv", "tv monitor": "tv",
    "diningtable": "dining table", "pottedplant": "potted plant", "hair dryer": "hair drier", "cellphone": "cell phone",
}  # fmt: skip

#: Words of a category beside its names. Plurals in -s, -es and -ies come by themselves. Two words stand here if one
#: alone means something else ("motor bike"), or if both would be counted ("jet plane").
WORDS = {
    "person": """people, man, men, woman, women, boy, girl, child, children, kid, baby, toddler, infant, teenager,
        guy, lady, gentleman, gentlemen, someone, somebody, crowd, audience, spectator, friend, pedestrian, tourist,
        player, ball player, batter, pitcher, catcher, umpire, referee, surfer, skier, snowboarder, snow boarder,
        skateboarder, skate boarder, skater, kite surfer, rider, biker, cyclist, bicyclist, motorcyclist, jockey,
        officer, policeman, policemen, fireman, firemen, firefighter, soldier, worker, chef, bride, groom, student,
        cowboy, cow boy, cowgirl, businessman, businessmen, fisherman, fishermen""",
    "bicycle": "bike",
    "car": "taxi, cab, taxi cab, van, minivan, suv, jeep, sedan",
    "motorcycle": "motor bike, motor cycle, dirt bike, moped, scooter",
    "airplane": "plane, jet, jet plane, jet airplane, jet airliner, jetliner, airliner, aircraft, biplane",
    "train": "train car, subway car, locomotive, train locomotive",
    "truck": "pickup, pickup truck, lorry, firetruck",
    "boat": "ship, sailboat, canoe, yacht, ferry, ferry boat, rowboat, motorboat, speedboat, gondola",
    "traffic light": "traffic signal, stop light, stoplight",
    "fire hydrant": "hydrant",
    "parking meter": "meter",
    "bird": "seagull, gull, duck, goose, geese, pigeon, swan, eagle, hawk, owl, parrot, sparrow, rooster, flamingo",
    "cat": "kitten, kitty",
    "dog": "puppy, pup, sheep dog, bull dog",
    "horse": "pony, foal",
    "sheep": "lamb, ram, ewe",
    "cow": "cattle, bull, calf, calves, ox, oxen",
    "bear": "cub, bear cub",
    "backpack": "back pack",
    "umbrella": "parasol",
    "handbag": "purse",
    "tie": "necktie, bowtie",
    "suitcase": "suit case, luggage, briefcase",
    "frisbee": "disc, frisbee disc",
    "skis": "ski",
    "snowboard": "snow board",
    "sports ball": "ball",
    "baseball bat": "bat, ball bat",
    "baseball glove": "mitt, glove, catcher mitt",
    "skateboard": "skate board",
    "surfboard": "surf board, boogie board, body board",
    "tennis racket": "racket, racquet",
    "wine glass": "wineglass, glass of wine, glasses of wine, glass of red wine, glass of white wine",
    "cup": "mug",
    "knife": "knives",
    "sandwich": "burger, hamburger, cheeseburger",
    "orange": """orange slice, orange wedge, orange peel, orange fruit, orange piece, orange half, orange sitting,
        orange laying, orange lying, orange growing, orange hanging, orange sits""",
    "hot dog": "hotdog",
    "donut": "doughnut",
    "cake": "cupcake, cup cake, carrot cake",
    "chair": "stool",
    "couch": "loveseat",
    "potted plant": "houseplant, house plant, potted flower",
    "bed": "mattress",
    "dining table": "table",
    "toilet": "toilet bowl, urinal",
    "tv": "television, monitor",
    "mouse": "mice",
    "remote": "controller, remote controller, wiimote",
    "cell phone": "phone, smartphone, iphone",
    "oven": "stove, stove top oven",
    "microwave": "microwave oven",
    "refrigerator": "fridge, freezer, refrigerator freezer",
    "teddy bear": "teddy, stuffed bear, toy bear, stuffed animal",
    "hair drier": "hairdryer, blow dryer",
    "toothbrush": "tooth brush",
}

#: Phrases with a word of a category that do not name it: the pitcher of water plays no baseball. "orange *" is the
#: colour, wherever a word follows that can be orange.
NOTHING = """
    orange *, orange and white, orange and black, orange and blue, orange and yellow, orange and red, orange and
    green, orange and brown, orange and gray, orange and grey, orange and pink, orange and purple, is orange, are
    orange, orange juice, apple computer, apple laptop, apple logo, apple sign, apple desktop, apple store, apple
    phone, apple monitor, apple juice, apple pie, apple sauce, banana bread, bus stop, bus stop sign, bus station,
    bus terminal, bus lane, bus driver, train station, train track, train platform, train yard, train depot, train
    tunnel, cable car, trolley car, street car, car seat, truck bed, bed of a truck, plane ticket, jet ski, jet
    engine, pitcher of, pitchers of, water pitcher, beer pitcher, cake batter, pancake batter, dream catcher, dvd
    player, cd player, mp3 player, music player, record player, snow man, lady bug, bird house, bird bath, bird
    cage, bird feeder, rubber duck, dog house, dog food, prairie dog, mouse pad, toilet paper, toilet seat, toilet
    lid, toilet brush, ski slope, ski lift, ski pole, ski resort, ski hill, ski jump, ski trail, ski run, ski lodge,
    ski suit, ski boot, ski mask, ski goggles, ski area, ski jacket, chair lift, ball game, ball field, ball park,
    ball cap, kite surfing, kite boarding, kite string, tie dye, flower bed, bed room, bed sheet, pool table, table
    cloth, table tennis, tv stand, tv show, remote control car, phone booth, oven mitt, rubber glove, boxing glove,
    pizza box, pizza cutter, pizza shop, donut shop, donut box, sandwich shop, cup holder, book shelf, book case,
    book bag, bottle opener, disc brake
"""
_YOUNG, _ANIMALS = ("baby", "infant", "kid"), "bird cat dog horse sheep cow elephant bear zebra giraffe goat animal"


def _split(words: str) -> list[str]:
    return [" ".join(word.split()) for word in words.split(",") if word.strip()]


#: The official names, in the official order.
CATEGORIES = tuple(_split(_CATEGORIES))


def official_name(name: str) -> str:
    """One of ``CATEGORIES``, whichever list the name is from.

    Raises:
        DataInvalid: a name of neither list.

    >>> official_name("tvmonitor"), official_name("tv")
    ('tv', 'tv')
    """
    known = OTHER_NAMES.get(name, name)
    if known not in CATEGORIES:
        raise DataInvalid(
            f"{name!r} is none of COCO's 80 categories; known are {', '.join(CATEGORIES[:3])} ... and the other names "
            f"{', '.join(OTHER_NAMES)}; rename it in the file of boxes"
        )
    return known


def coco_nouns() -> dict[str, str]:
    """Word (or words) to category, for ``metrics.naming.named``: all 80, whatever a file of boxes has.

    What names nothing leads to "".

    >>> table = coco_nouns()
    >>> table["puppies"], table["hot dogs"], table["sofa"], table["baby elephant"], table["bus stop"]
    ('dog', 'hot dog', 'couch', 'elephant', '')
    """
    table: dict[str, str] = {}
    for name in CATEGORIES:
        others = [other for other, official in OTHER_NAMES.items() if official == name]
        for word in [name, *others, *_split(WORDS.get(name, ""))]:
            table |= {word: name, _plural(word): name}
    for phrase in _split(NOTHING):
        table |= {phrase: "", _plural(phrase): ""}
    for animal in _ANIMALS.split():
        for word in (animal, _plural(animal)):
            table |= {f"{age} {word}": table.get(word, "") for age in _YOUNG}  # a baby elephant is no baby
    return table


def _plural(word: str) -> str:
    if word.endswith("y") and word[-2] not in "aeiou":
        return word[:-1] + "ies"
    return word + ("es" if word.endswith(("s", "x", "ch", "sh")) else "s")
