"""Labels: interned sets and questions."""

import numpy as np

from geofence.lookup.zonesets import NOWHERE, Labels


def follow(labels, label, hits):
    """Asks until there is an answer; returns it with the shapes that were asked about."""
    asked = []
    while label < 0:
        nodes = np.array([~label], np.int32)
        shape = int(labels.shapes_to_ask(nodes)[0])
        asked.append(shape)
        label = int(labels.follow(nodes, np.array([shape in hits]))[0])
    return labels.members(label), asked


def test_sets_are_interned_whatever_the_order():
    """The same shapes are the same id; the empty set is NOWHERE."""
    labels = Labels()
    a = labels.intern((5, 2))
    [b] = labels.relaid(labels.relaid([NOWHERE], 2, (2,), ()), 5, (5,), ())
    assert a == b
    assert labels.members(a) == (2, 5)
    assert labels.members(NOWHERE) == ()
    assert len(labels) == 3


def test_a_question_leads_to_the_set_of_its_hits():
    """What holds for sure and what was hit, whichever way the branches go and however often they are taken."""
    labels = Labels()
    label = labels.intern((7,), (4, 1))
    assert labels.parts(label) == ((7,), (1, 4))
    for _ in range(2):
        assert follow(labels, label, {1, 4}) == ((1, 4, 7), [1, 4])
        assert follow(labels, label, {4}) == ((4, 7), [1, 4])
        assert follow(labels, label, set()) == ((7,), [1, 4])


def test_outside_a_shape_its_nest_is_not_asked_about():
    """Shapes 3, 4, 5 are one nest: a point outside 4 is outside 5, but another nest is still asked about."""
    labels = Labels(nest=3)
    label = labels.intern((), (3, 4, 5, 6))
    assert follow(labels, label, {6}) == ((6,), [3, 6])
    assert follow(labels, label, {3, 6}) == ((3, 6), [3, 4, 6])
    assert follow(labels, label, {3, 4, 5}) == ((3, 4, 5), [3, 4, 5, 6])


def test_tables_grow_without_changing_what_is_there():
    """More questions than the first tables hold; old ones answer as before."""
    labels = Labels()
    made = [labels.intern((i,), (i + 1,)) for i in range(300)]
    for i in (0, 63, 64, 299):
        assert follow(labels, made[i], {i + 1}) == ((i, i + 1), [i + 1])


def test_a_nest_is_laid_anew_and_the_others_stay():
    """What the shapes of the nest were before, answer or question, does not matter; order neither."""
    labels = Labels(nest=3)
    old = [NOWHERE, labels.intern((3, 7)), labels.intern((4,), (1, 5, 6)), labels.intern((), (3, 4, 5))]
    new = labels.relaid(old, 1, (3,), (4, 5))
    assert [labels.parts(label) for label in new] == [
        ((3,), (4, 5)),
        ((3, 7), (4, 5)),
        ((3,), (1, 4, 5, 6)),
        ((3,), (4, 5)),
    ]
    assert [labels.parts(label) for label in labels.relaid(new, 1, (), ())] == [
        ((), ()),
        ((7,), ()),
        ((), (1, 6)),
        ((), ()),
    ]
