"""RFC 6962 trees: roots out of streamed leaves, and proofs that a leaf is in a tree and that a tree only grew. Pure.

A leaf is its hash, 32 bytes (`event.leaf_hash`). A tree is kept as its frontier, the roots of the perfect subtrees that
its size is the sum of: a million leaves need at most twenty of them.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from hashlib import sha256

HASH_BYTES = 32
EMPTY_ROOT = sha256(b"").digest()
"""The root of the tree without leaves."""

Subtree = Callable[[int, int], bytes]
"""Gives the root over the leaves from the first number up to, without, the second."""


class Frontier:
    """A tree that grows by leaves at its end."""

    __slots__ = ("_roots", "size")

    def __init__(self, size: int = 0, roots: bytes = b"") -> None:
        """Begin with the tree of this size, whose `roots` an earlier frontier gave.

        Raises:
            ValueError: there are more or fewer roots than a tree of this size has.
        """
        if size < 0 or len(roots) != size.bit_count() * HASH_BYTES:
            raise ValueError(f"{len(roots)} bytes are no frontier of a tree with {size} leaves")
        self.size = size
        """How many leaves it has."""
        self._roots = [roots[at : at + HASH_BYTES] for at in range(0, len(roots), HASH_BYTES)]

    def append(self, leaf: bytes) -> None:
        """Add one leaf."""
        size, roots = self.size, self._roots
        while size & 1:
            leaf = sha256(b"\1" + roots.pop() + leaf).digest()
            size >>= 1
        roots.append(leaf)
        self.size += 1

    def extend(self, leaves: Iterable[bytes]) -> "Frontier":
        """Add leaves, and return the same tree."""
        for leaf in leaves:
            self.append(leaf)
        return self

    def root(self) -> bytes:
        """Return the root over all leaves so far."""
        if not self._roots:
            return EMPTY_ROOT
        *others, root = self._roots
        for one in reversed(others):
            root = node(one, root)
        return root

    @property
    def roots(self) -> bytes:
        """The perfect subtrees' roots, largest first, 32 bytes each: enough to go on from here another time."""
        return b"".join(self._roots)


def node(left: bytes, right: bytes) -> bytes:
    """Return the hash of an inner node."""
    return sha256(b"\1" + left + right).digest()


def root(leaves: Iterable[bytes]) -> bytes:
    """Return the root over leaves, read once."""
    return Frontier().extend(leaves).root()


def subtrees(leaves: Sequence[bytes]) -> Subtree:
    """Return what `inclusion` and `consistency` ask of leaves that are all at hand."""
    return lambda start, stop: root(leaves[start:stop])


def inclusion(index: int, size: int, subtree: Subtree) -> list[bytes]:
    """Return the proof that the leaf at `index` is in the tree of `size` leaves: at most 64 hashes, lowest first.

    Raises:
        ValueError: the tree has no such leaf.
    """
    if not 0 <= index < size:
        raise ValueError(f"a tree of {size} leaves has no leaf {index}")
    path: list[bytes] = []
    start, stop = 0, size
    while stop - start > 1:
        middle = start + _split(stop - start)
        if index < middle:
            path.append(subtree(middle, stop))
            stop = middle
        else:
            path.append(subtree(start, middle))
            start = middle
    return path[::-1]


def consistency(first: int, second: int, subtree: Subtree) -> list[bytes]:
    """Return the proof that the tree of `first` leaves is the beginning of the one of `second`.

    Raises:
        ValueError: the first is empty or larger than the second.
    """
    if not 0 < first <= second:
        raise ValueError(f"a tree of {first} leaves cannot be the beginning of one of {second}")
    return list(_consistency(first, second, subtree))[::-1]


def _consistency(first: int, second: int, subtree: Subtree) -> Iterator[bytes]:
    start, stop, end = 0, second, first
    while end != stop:
        middle = start + _split(stop - start)
        if end <= middle:
            yield subtree(middle, stop)
            stop = middle
        else:
            yield subtree(start, middle)
            start = middle
    if start:
        yield subtree(start, stop)


def _split(size: int) -> int:
    """Return the largest power of two below a size of at least 2."""
    return 1 << ((size - 1).bit_length() - 1)


def is_included(leaf: bytes, index: int, size: int, tree: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether a proof shows that a leaf stands at `index` in the tree of `size` leaves and root `tree`."""
    if not 0 <= index < size or not _are_hashes(leaf, tree, *proof):
        return False
    place, last, seen = index, size - 1, leaf
    for one in proof:
        if last == 0:
            return False
        if place & 1 or place == last:
            seen = node(one, seen)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            seen = node(seen, one)
        place, last = place >> 1, last >> 1
    return last == 0 and seen == tree


def is_consistent(first: int, second: int, old: bytes, new: bytes, proof: Sequence[bytes]) -> bool:
    """Return whether a proof shows that the tree with root `new` begins with the one with root `old`."""
    if not 0 < first <= second or not _are_hashes(old, new, *proof):
        return False
    if first == second:
        return not proof and old == new
    hashes = list(proof) if first & (first - 1) else [old, *proof]
    if not hashes:
        return False
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    was = now = hashes[0]
    for one in hashes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            was, now = node(one, was), node(one, now)
            while place and not place & 1:
                place, last = place >> 1, last >> 1
        else:
            now = node(now, one)
        place, last = place >> 1, last >> 1
    return last == 0 and was == old and now == new


def _are_hashes(*values: object) -> bool:
    return all(isinstance(value, bytes) and len(value) == HASH_BYTES for value in values)
