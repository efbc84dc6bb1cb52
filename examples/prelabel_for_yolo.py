"""Write a YOLO data set with predicted boxes, to correct by hand and to train a detector on.

    python examples/prelabel_for_yolo.py photos "truck,person" --model microsoft/Florence-2-base-ft

``labeled/yolo`` gets ``data.yaml``, ``images`` and ``labels``: ultralytics trains on it as it is.
``"delivery truck=truck"`` asks for one name and writes another.
"""

import argparse
from pathlib import Path

import florence2
from florence2.datasets.exporters import ClassMap


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("images", help="a directory, a file or a pattern")
    parser.add_argument("classes", help="names of classes, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("labeled"))
    parser.add_argument("--model", default="nano", help="a Hub id, a directory, or nano")
    parser.add_argument("--min-score", type=float, default=None, help="drop boxes below it")
    arguments = parser.parse_args()

    config = florence2.LabelConfig(
        model=arguments.model,
        classes=ClassMap.parse(arguments.classes),
        min_score=arguments.min_score,
        formats=("yolo",),
    )
    outcome = florence2.label(
        arguments.images, "open-vocabulary-detection", out=arguments.out, config=config
    )
    for image, error in outcome.failed.items():
        print(f"{image}: {error}")
    print(
        f"{outcome.done} images labeled, {outcome.skipped} were done, in {arguments.out / 'yolo'}"
    )


if __name__ == "__main__":
    main()
