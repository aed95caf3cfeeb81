"""The tree agrees with RFC 6962's own recursive definition, and proofs show what they say and nothing else."""

from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestrator.ledger import merkle

SIZES = st.integers(min_value=1, max_value=70)


def leaf(number: int) -> bytes:
    return sha256(b"\0" + str(number).encode()).digest()


def naive_root(leaves: list[bytes]) -> bytes:
    """The definition, section 2.1."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    return sha256(b"\1" + naive_root(leaves[:split]) + naive_root(leaves[split:])).digest()


def naive_inclusion(index: int, leaves: list[bytes]) -> list[bytes]:
    """The definition, section 2.1.1."""
    if len(leaves) == 1:
        return []
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if index < split:
        return [*naive_inclusion(index, leaves[:split]), naive_root(leaves[split:])]
    return [*naive_inclusion(index - split, leaves[split:]), naive_root(leaves[:split])]


def naive_consistency(first: int, leaves: list[bytes], *, is_whole: bool = True) -> list[bytes]:
    """The definition, section 2.1.2."""
    if first == len(leaves):
        return [] if is_whole else [naive_root(leaves)]
    split = 1
    while split * 2 < len(leaves):
        split *= 2
    if first <= split:
        return [*naive_consistency(first, leaves[:split], is_whole=is_whole), naive_root(leaves[split:])]
    return [*naive_consistency(first - split, leaves[split:], is_whole=False), naive_root(leaves[:split])]


LEAVES = [leaf(number) for number in range(70)]


@given(size=st.integers(min_value=0, max_value=70))
def test_a_root_is_what_the_definition_says(size: int) -> None:
    assert merkle.root(iter(LEAVES[:size])) == naive_root(LEAVES[:size])


@given(size=SIZES, data=st.data())
def test_a_frontier_goes_on_where_another_one_stopped(size: int, data: st.DataObject) -> None:
    stop = data.draw(st.integers(min_value=0, max_value=size))
    first = merkle.Frontier().extend(LEAVES[:stop])

    second = merkle.Frontier(first.size, first.roots).extend(LEAVES[stop:size])

    assert (second.size, second.root()) == (size, naive_root(LEAVES[:size]))
    assert len(second.roots) == size.bit_count() * 32


@pytest.mark.parametrize(("size", "roots"), [(-1, b""), (0, b"x"), (3, b"\0" * 32), (1, b"\0" * 31), (1, b"\0" * 64)])
def test_a_frontier_that_cannot_be_is_refused(size: int, roots: bytes) -> None:
    with pytest.raises(ValueError, match="no frontier"):
        merkle.Frontier(size, roots)


@given(size=SIZES, data=st.data())
def test_an_inclusion_proof_is_the_defined_one_and_shows_its_leaf_alone(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(min_value=0, max_value=size - 1))
    other = data.draw(st.integers(min_value=-1, max_value=size))
    leaves, tree = LEAVES[:size], naive_root(LEAVES[:size])

    proof = merkle.inclusion(index, size, merkle.subtrees(leaves))

    assert proof == naive_inclusion(index, leaves)
    assert merkle.is_included(leaves[index], index, size, tree, proof)
    assert merkle.is_included(leaves[index], other, size, tree, proof) == (other == index)
    assert not merkle.is_included(leaf(99), index, size, tree, proof)
    assert not merkle.is_included(leaves[index], index, size, tree, [*proof, leaf(99)])
    assert not proof or not merkle.is_included(leaves[index], index, size, tree, proof[:-1])


@given(second=SIZES, data=st.data())
def test_a_consistency_proof_is_the_defined_one_and_shows_its_beginning_alone(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(min_value=1, max_value=second))
    leaves = LEAVES[:second]
    old, new = naive_root(leaves[:first]), naive_root(leaves)

    proof = merkle.consistency(first, second, merkle.subtrees(leaves))

    assert proof == naive_consistency(first, leaves)
    assert merkle.is_consistent(first, second, old, new, proof)
    assert not merkle.is_consistent(first, second, leaf(99), new, proof)
    assert not merkle.is_consistent(first, second, old, leaf(99), proof)
    assert not merkle.is_consistent(first, second, old, new, [*proof, leaf(99)])
    assert not proof or not merkle.is_consistent(first, second, old, new, proof[:-1])


@given(second=SIZES, data=st.data())
def test_a_tree_whose_beginning_was_changed_is_not_consistent(second: int, data: st.DataObject) -> None:
    first = data.draw(st.integers(min_value=1, max_value=second))
    changed = data.draw(st.integers(min_value=0, max_value=first - 1))
    forged = [*LEAVES[:changed], leaf(99), *LEAVES[changed + 1 : second]]

    proof = merkle.consistency(first, second, merkle.subtrees(forged))

    assert not merkle.is_consistent(first, second, naive_root(LEAVES[:first]), naive_root(forged), proof)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (-1, 3), (3, 3)])
def test_there_is_no_proof_of_a_leaf_that_is_not_there(index: int, size: int) -> None:
    with pytest.raises(ValueError, match="has no leaf"):
        merkle.inclusion(index, size, merkle.subtrees(LEAVES))


@pytest.mark.parametrize(("first", "second"), [(0, 3), (4, 3)])
def test_there_is_no_proof_of_a_beginning_that_is_none(first: int, second: int) -> None:
    with pytest.raises(ValueError, match="cannot be the beginning"):
        merkle.consistency(first, second, merkle.subtrees(LEAVES))


def test_what_is_no_hash_proves_nothing() -> None:
    assert not merkle.is_included(b"short", 0, 1, b"short", [])
    assert not merkle.is_consistent(1, 1, b"short", b"short", [])
