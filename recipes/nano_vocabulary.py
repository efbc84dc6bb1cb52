"""Makes the small vocabulary of the bundled model: ``python recipes/nano_vocabulary.py --art ART``.

About 2,000 byte-level BPE entries instead of BART's 50,265, in the same format, learned from the
prompts of all tasks and from the labels of synthetic scenes: names, captions, phrases, text.
The same art gives the same file, byte for byte.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from tokenizers import AddedToken, Tokenizer
from tokenizers.decoders import ByteLevel as ByteLevelDecoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.processors import RobertaProcessing
from tokenizers.trainers import BpeTrainer

from florence2.io.atomic import atomic_replace
from florence2.results.records import Annotation
from florence2.results.tasks import TASKS
from florence2.results.types import Boxes, Quads, Text
from florence2.synthetic.compose import make_scene
from florence2.synthetic.scene import SceneSettings, scene_seed
from florence2.synthetic.scene_records import annotate_scene
from florence2.synthetic.sprite_library import SpriteLibrary, load_library

DEFAULT_PATH = Path(__file__).resolve().parents[1] / "src/florence2/nano/tokenizer.json"
ENTRIES = 2048
SCENES = 8_000
# Names occur at the start of a target and within sentences, which are different entries. With
# repeats every prompt and every name is few tokens, however rarely it is sampled.
REPEATS = 40


def iterate_texts(sprites: SpriteLibrary, scenes: int) -> Iterator[str]:
    """The texts of prompts and names, then of the annotations of synthetic scenes."""
    for task in TASKS:
        for name in sprites.categories:
            yield task.prompt.replace("{input}", name)
    for name in sprites.categories:
        yield from (name, f"a {name}", name.capitalize()) * REPEATS
    # Words matter here, not pixels: the smallest scenes with as many objects.
    settings = SceneSettings(size=(128, 128))
    for number in range(scenes):
        seed = scene_seed("train", number)
        scene = make_scene(seed, sprites, settings)
        for annotation in annotate_scene(
            scene, sprites.categories, np.random.default_rng((seed, 1))
        ):
            yield from _annotation_texts(annotation)


def _annotation_texts(annotation: Annotation) -> Iterator[str]:
    answer = annotation.answer
    if annotation.text:
        yield annotation.text
    if isinstance(answer, Text):
        yield answer.text
    elif isinstance(answer, Boxes | Quads):
        yield from filter(None, answer.labels)


def train(corpus: Iterator[str]) -> Tokenizer:
    """The vocabulary of ``corpus``: ids 0 to 3 and the last are BART's special tokens."""
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
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens([AddedToken("<mask>", lstrip=True, normalized=False)])
    tokenizer.post_processor = RobertaProcessing(("</s>", 2), ("<s>", 0), add_prefix_space=False)
    return tokenizer


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--art", type=Path, required=True, help="directory of florence2 scenes fetch"
    )
    parser.add_argument("--scenes", type=int, default=SCENES)
    parser.add_argument("--out", type=Path, default=DEFAULT_PATH)
    given = parser.parse_args()
    tokenizer = train(iterate_texts(load_library(given.art, "train"), given.scenes))
    atomic_replace(given.out, to_compact_json(tokenizer))
    print(f"{tokenizer.get_vocab_size()} entries in {given.out}")


def to_compact_json(tokenizer: Tokenizer) -> str:
    """The text of ``tokenizer.json``, without white space and with merges as single strings."""
    payload = json.loads(tokenizer.to_str())
    payload["model"]["merges"] = [" ".join(pair) for pair in payload["model"]["merges"]]
    return json.dumps(payload, ensure_ascii=False, separators=(",", ":")) + "\n"


if __name__ == "__main__":
    main()
