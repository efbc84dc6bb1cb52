"""Written pages at their limits."""

from __future__ import annotations

import numpy as np

from florence2.synthetic.text_render import make_page


def test_a_page_too_narrow_for_its_letters_takes_smaller_ones() -> None:
    for seed in range(40):
        sheet = make_page(np.random.default_rng(seed), (None,), 60.0, (120, 120))
        assert sheet.inks
