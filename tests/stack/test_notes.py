"""Caveats of a stack are stated once, whatever the names of its stores."""

import pytest

from hpastack.stack import merge_notes

pytestmark = pytest.mark.core


def test_a_note_on_several_stores_is_stated_once_with_their_names():
    stores = [f"CNN {number} (v2)" for number in range(6)]
    text = "out of fold by an unknown plan, accepted; scores may be too good"
    notes = [f"{store}: {text}" for store in stores]
    notes[3:3] = ["the folds split 2 clusters: x", notes[0]]
    merged = merge_notes(notes, stores)
    assert merged == [
        f"CNN 0 (v2), CNN 1 (v2), CNN 2 (v2), CNN 3 (v2), CNN 4 (v2) and CNN 5 (v2): {text}",
        "the folds split 2 clusters: x",
    ]
    assert merge_notes(merged, stores) == merged


def test_only_names_of_stores_are_taken_for_such():
    notes = ["prior shift: none", "a: none", "without a colon", "without a colon"]
    assert merge_notes(notes, ["a"]) == ["prior shift: none", "a: none", "without a colon"]
