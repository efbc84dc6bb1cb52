"""Which classes there are, and which words mean them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Ontology:
    """Prompts and the classes they stand for: ``{"delivery truck": "truck", "person": "person"}``.

    Class numbers count from 0 in the order in which classes are first named.
    """

    classes: dict[str, str]

    def __post_init__(self) -> None:
        if not self.classes:
            raise ValueError("an ontology names at least one class")

    @classmethod
    def parse(cls, text: str) -> Ontology:
        """``"delivery truck=truck, person"``: prompts by commas, each with its class or itself.

        Raises ``ValueError`` for empty names and a prompt that stands for two classes.
        """
        classes: dict[str, str] = {}
        for part in text.split(","):
            prompt, separator, name = (each.strip() for each in part.partition("="))
            name = name if separator else prompt
            if not prompt or not name:
                raise ValueError(
                    f"classes are written 'prompt=class, prompt=class' or 'class, class', got "
                    f"{text!r}"
                )
            if classes.setdefault(_folded(prompt), name) != name:
                raise ValueError(f"{prompt!r} stands for {classes[_folded(prompt)]!r} and {name!r}")
        return cls(classes)

    @property
    def prompts(self) -> tuple[str, ...]:
        """What the model is asked for."""
        return tuple(self.classes)

    @property
    def names(self) -> tuple[str, ...]:
        """The classes in the order of their numbers."""
        return tuple(dict.fromkeys(self.classes.values()))

    def class_of(self, label: str) -> str | None:
        """The class that a label means, whatever its case; ``None`` when it means none."""
        return self.classes.get(_folded(label))


@dataclass
class Classes:
    """The numbers of classes while a set is written: those of an ontology, or as labels come by."""

    ontology: Ontology | None = None
    _numbers: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.ontology is not None:
            self._numbers = {name: number for number, name in enumerate(self.ontology.names)}

    @property
    def names(self) -> tuple[str, ...]:
        """All classes so far, in the order of their numbers."""
        return tuple(self._numbers)

    def name_of(self, label: str) -> str | None:
        """The class of a label; ``None`` when the ontology leaves it out."""
        if self.ontology is not None:
            return self.ontology.class_of(label)
        return label.strip() or "object"

    def number_of(self, name: str) -> int:
        """The number of a class, from 0 on."""
        return self._numbers.setdefault(name, len(self._numbers))


def _folded(text: str) -> str:
    return " ".join(text.casefold().split())
