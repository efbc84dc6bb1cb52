"""Makes the small vocabulary of the bundled model: ``python recipes/nano_vocabulary.py``.

About 2,000 byte-level BPE entries instead of BART's 50,265, in the same form, learnt from
sentences that this file writes itself: scenes, counts, relations, signs, and the prompts of all
tasks. The same seed gives the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import json
import random
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing
from tokenizers.trainers import BpeTrainer

from florence2.durable import replace_file
from florence2.tasks import TASKS

DEFAULT_PATH = Path(__file__).resolve().parents[1] / "src/florence2/nano/tokenizer.json"
ENTRIES = 2048
SENTENCES = 30_000
SEED = 20

COLOURS = (
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "brown", "black", "white",
    "grey", "gray", "light blue", "dark green", "silver", "gold", "turquoise", "beige",
)  # fmt: skip
SHAPES = (
    "circle", "square", "triangle", "rectangle", "star", "ring", "cross", "hexagon", "pentagon",
    "diamond", "ellipse", "heart", "arrow", "crescent", "dot", "line", "stripe",
)  # fmt: skip
OBJECTS = (
    "person", "man", "woman", "boy", "girl", "child", "bicycle", "car", "motorcycle", "airplane",
    "bus", "train", "truck", "boat", "traffic light", "fire hydrant", "stop sign", "parking meter",
    "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe",
    "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "ski", "snowboard", "ball",
    "kite", "baseball bat", "skateboard", "surfboard", "tennis racket", "bottle", "glass", "cup",
    "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "pizza", "donut", "cake", "chair", "sofa", "couch", "potted plant", "bed",
    "dining table", "toilet", "monitor", "laptop", "mouse", "remote control", "keyboard", "phone",
    "microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors",
    "teddy bear", "toothbrush", "house", "building", "tree", "flower", "road", "street", "bridge",
    "river", "mountain", "cloud", "sun", "moon", "fence", "wall", "window", "door", "door handle",
    "wheel", "roof", "chimney", "lamp", "table", "sign", "poster", "label", "flag", "box", "shoe",
    "hat", "shirt", "jacket", "dress", "face", "hand", "fish", "butterfly", "leaf", "mushroom",
)  # fmt: skip
COUNTS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "several")
RELATIONS = (
    "to the left of", "to the right of", "above", "below", "on", "under", "next to", "behind",
    "in front of", "inside", "on top of", "near", "between", "overlapping", "in the middle of",
)  # fmt: skip
PLACES = (
    "the background", "the foreground", "the top left corner", "the top right corner",
    "the bottom left corner", "the bottom right corner", "the center", "a plain background",
    "a street", "a room", "a field", "the grass", "the sky", "the water",
)  # fmt: skip
SIZES = ("small", "large", "big", "tiny", "tall", "wide", "long", "round", "striped", "spotted")
DOING = ("standing", "sitting", "lying", "parked", "walking", "floating", "placed", "shown")
SIGNS = (
    "STOP", "EXIT", "OPEN", "CLOSED", "SALE", "HOTEL", "CAFE", "PIZZA", "TAXI", "POLICE", "NEWS",
    "BAKERY", "MARKET", "PARKING", "WELCOME", "WARNING", "DANGER", "PUSH", "PULL", "FREE",
    "Hello", "World", "Menu", "Coffee", "Tea", "Bread", "Books", "Flowers", "Street", "Station",
    "Avenue", "Market", "Ticket", "Total", "Price", "Gate", "Platform", "Florence",
)  # fmt: skip
# Words that captions, questions and signs often need.
COMMON = (
    "about", "across", "after", "again", "against", "all", "along", "also", "among", "and",
    "another", "any", "are", "around", "as", "at", "away", "back", "because", "been", "before",
    "being", "beside", "best", "better", "both", "bright", "broken", "busy", "but", "by", "can",
    "carrying", "clean", "clear", "close", "closed", "cold", "color", "corner", "covered",
    "curved", "cut", "dark", "day", "deep", "different", "dirty", "door", "down", "dry", "each",
    "early", "edge", "eight", "empty", "end", "evening", "every", "eyes", "facing", "far", "fast",
    "few", "field", "filled", "first", "flat", "floor", "food", "for", "four", "fresh", "from",
    "front", "full", "game", "garden", "glass", "going", "good", "grass", "great", "green",
    "group", "hanging", "happy", "has", "have", "head", "heavy", "her", "here", "high", "him",
    "his", "holding", "home", "horizontal", "hot", "how", "huge", "in", "including", "indoors",
    "into", "is", "its", "just", "kitchen", "large", "last", "left", "leather", "left-hand",
    "less", "letters", "light", "like", "little", "live", "local", "looking", "lot", "low",
    "made", "main", "many", "material", "metal", "middle", "modern", "more", "morning", "most",
    "moving", "much", "narrow", "near", "new", "next", "night", "no", "not", "number", "object",
    "of", "off", "office", "often", "old", "on", "once", "only", "open", "other", "out",
    "outdoors", "outline", "over", "own", "paper", "part", "pattern", "people", "picture",
    "place", "plastic", "playing", "pointing", "post", "public", "read", "reading", "resting",
    "riding", "right", "road", "rough", "same", "scene", "second", "see", "seen", "set", "shadow",
    "shape", "sharp", "short", "side", "silver", "single", "sky", "slightly", "smiling", "smooth",
    "snow", "soft", "some", "square", "stack", "standing", "steel", "still", "stone", "straight",
    "such", "sunny", "surface", "table", "tall", "text", "than", "that", "the", "their", "them",
    "then", "there", "these", "they", "thick", "thin", "third", "this", "three", "through",
    "time", "to", "together", "top", "toward", "town", "traffic", "two", "under", "up", "upper",
    "upside", "used", "using", "various", "vertical", "very", "view", "visible", "walking",
    "wall", "was", "watching", "water", "wearing", "well", "were", "wet", "what", "when", "where",
    "which", "while", "who", "whole", "wide", "wild", "wind", "with", "within", "without",
    "wooden", "word", "work", "world", "writing", "written", "yes", "young", "your",
)  # fmt: skip
LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


def sentences(count: int, seed: int) -> Iterator[str]:
    """``count`` sentences and labels in the words of the tasks, after the prompts themselves."""
    draw = random.Random(seed)
    for task in TASKS:
        for _ in range(150):
            yield task.prompt.replace("{input}", _thing(draw))
    makers = (_caption, _description, _paragraph, _label, _phrase, _words, _sign, _number)
    for _ in range(count):
        yield draw.choice(makers)(draw)


def train(texts: Iterator[str]) -> Tokenizer:
    """The vocabulary of ``texts``: ids 0 to 3 and the last are BART's special tokens."""
    specials = ["<s>", "<pad>", "</s>", "<unk>"]
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = ByteLevelDecoder()
    trainer = BpeTrainer(
        vocab_size=ENTRIES - 1,
        special_tokens=specials,
        initial_alphabet=sorted(ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=DEFAULT_PATH)
    path: Path = parser.parse_args().out
    tokenizer = train(sentences(SENTENCES, SEED))
    replace_file(path, compact(tokenizer))
    print(f"{tokenizer.get_vocab_size()} entries in {path} ({path.stat().st_size:,} bytes)")


def compact(tokenizer: Tokenizer) -> str:
    """The text of ``tokenizer.json``, without white space and with merges as single strings."""
    form = json.loads(tokenizer.to_str())
    form["model"]["merges"] = [" ".join(pair) for pair in form["model"]["merges"]]
    return json.dumps(form, ensure_ascii=False, separators=(",", ":")) + "\n"


def _article(words: str) -> str:
    return f"an {words}" if words[0] in "aeiou" else f"a {words}"


def _thing(draw: random.Random) -> str:
    name = draw.choice(OBJECTS if draw.random() < 0.6 else SHAPES)
    look = draw.choice(COLOURS if draw.random() < 0.8 else SIZES)
    return _article(f"{look} {name}" if draw.random() < 0.7 else name)


def _label(draw: random.Random) -> str:
    return draw.choice(OBJECTS + SHAPES)


def _phrase(draw: random.Random) -> str:
    return f"{_thing(draw)} {draw.choice(RELATIONS)} {_thing(draw)}"


def _caption(draw: random.Random) -> str:
    opening = draw.choice(("", "The image shows ", "In this image we can see ", "There is "))
    text = opening + draw.choice((
        _phrase(draw),
        f"{_thing(draw)} and {_thing(draw)}",
        f"{_thing(draw)} {draw.choice(DOING)} in {draw.choice(PLACES)}",
        f"{draw.choice(COUNTS)} {draw.choice(COLOURS)} {draw.choice(OBJECTS + SHAPES)}s",
        f"{_thing(draw)} with the word {draw.choice(SIGNS)} on it",
    ))  # fmt: skip
    return text[0].upper() + text[1:] + "."


def _description(draw: random.Random) -> str:
    where = draw.choice(PLACES)
    return f"{_caption(draw)} In {where} there are {draw.choice(COUNTS)} {_label(draw)}s."


def _paragraph(draw: random.Random) -> str:
    closing = f"The background is {draw.choice(COLOURS)}. The text reads {draw.choice(SIGNS)}."
    return f"{_description(draw)} {_description(draw)} {closing}"


def _words(draw: random.Random) -> str:
    return " ".join(draw.choice(COMMON) for _ in range(draw.randint(3, 9)))


def _sign(draw: random.Random) -> str:
    pool = draw.choice((SIGNS, SIGNS, COLOURS, SHAPES, OBJECTS, COMMON))
    words = " ".join(draw.choice(pool) for _ in range(draw.randint(1, 3)))
    made_up = "".join(draw.choice(LETTERS) for _ in range(draw.randint(2, 6)))
    return draw.choice((words, words.upper(), words.upper(), words.title(), made_up))


def _number(draw: random.Random) -> str:
    return draw.choice((
        str(draw.randint(0, 9999)),
        f"{draw.randint(0, 99)}.{draw.randint(0, 99):02d} $",
        f"No. {draw.randint(1, 99)}",
        f"{draw.randint(0, 23)}:{draw.randint(0, 59):02d}",
        f"{draw.randint(1, 100)}%",
    ))  # fmt: skip


if __name__ == "__main__":
    main()
