"""Fine-tune on boxes of your own, evaluate, and predict with the result.

    python examples/finetune_on_boxes.py        # draws images of shapes first
    python examples/finetune_on_boxes.py my-data --start microsoft/Florence-2-base-ft \\
        --epochs 10 --learning-rate 1e-5

``my-data`` is a data set in COCO's format: ``annotations/instances_train.json`` and ``train/``,
``annotations/instances_val.json`` and ``val/``. Run it again with the same arguments and the
training resumes from its last checkpoint.
"""

import argparse
import json
import random
from pathlib import Path

from PIL import Image, ImageDraw

import florence2
from florence2.datasets.conversion import ImportOptions, convert
from florence2.datasets.shards import ShardDataset
from florence2.training import load_recipe, override

SHAPES = ("circle", "square")


def draw_data(root: Path, split: str, count: int, seed: int) -> None:
    """Write ``count`` images with two shapes each, and their boxes in COCO's format."""
    generator = random.Random(seed)
    images, annotations = [], []
    (root / split).mkdir(parents=True)
    for number in range(1, count + 1):
        image = Image.new("RGB", (128, 128), "white")
        for left in (8, 72):
            category, side = generator.randrange(2), generator.randrange(24, 48)
            top = generator.randrange(8, 112 - side)
            box = (left, top, left + side, top + side)
            draw = ImageDraw.Draw(image)
            (draw.ellipse if category == 0 else draw.rectangle)(box, fill="navy")
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "image_id": number,
                    "category_id": category + 1,
                    "bbox": [left, top, side, side],
                    "area": side * side,
                    "iscrowd": 0,
                }
            )
        image.save(root / split / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 128, "height": 128})
    categories = [{"id": number, "name": name} for number, name in enumerate(SHAPES, 1)]
    (root / "annotations").mkdir(exist_ok=True)
    (root / f"annotations/instances_{split}.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, nargs="?", default=Path("shapes"))
    parser.add_argument("--start", default="nano", help="the checkpoint to start from")
    parser.add_argument("--out", type=Path, default=Path("runs/boxes"))
    parser.add_argument("--images", type=int, default=20, help="how many are drawn for training")
    parser.add_argument("--epochs", default="4")
    parser.add_argument("--batch-size", default="4")
    parser.add_argument("--learning-rate", default="5e-4", help="1e-5 for a released checkpoint")
    arguments = parser.parse_args()

    if not arguments.data.exists():
        draw_data(arguments.data, "train", arguments.images, seed=0)
        draw_data(arguments.data, "val", 4, seed=1)

    # Shards are Parquet files with the images inside. Labels are checked on the way; what cannot
    # be learned is listed in problems.jsonl, with the file and the line.
    processor = florence2.load(arguments.start, runtime="torch").processor
    for split in ("train", "val"):
        shards = arguments.out / "data" / split
        if not (shards / "manifest.json").exists():
            report = convert(
                arguments.data,
                shards,
                "coco",
                processor=processor,
                reading=ImportOptions(split=split),
            )
            print(f"{split}: {report.records} images, {len(report.problems)} problems")

    recipe = override(
        load_recipe("fine-tune"),
        [
            f"start={arguments.start}",
            f"schedule.epochs={arguments.epochs}",
            "schedule.warmup_steps=2",
            f"optimizer.learning_rate={arguments.learning_rate}",
            f"batch.size={arguments.batch_size}",
            f"batch.micro={arguments.batch_size}",
        ],
    )
    outcome = florence2.train(
        recipe,
        ShardDataset(arguments.out / "data/train"),
        arguments.out,
        validation=ShardDataset(arguments.out / "data/val"),
        quiet=True,
    )
    print(f"{outcome.steps} steps; checkpoint: {outcome.last}")

    # PyTorch needs no conversion of the checkpoint, which one image would not pay back.
    model = florence2.load(outcome.last, runtime="torch")
    image = next(iter(sorted((arguments.data / "val").iterdir())))
    print(image, model(image, "object-detection").to_dict())


if __name__ == "__main__":
    main()
