"""Geohashes without a server: known places, cells, and the order of members at equal distance."""

from __future__ import annotations

import random

from twisted.trial.unittest import SynchronousTestCase

from replicad import geohash
from replicad.commands.geo_order import nearest


class Places(SynchronousTestCase):
    def test_known_places(self) -> None:
        palermo, catania = geohash.encode(13.361389, 38.115556), geohash.encode(15.087269, 37.502669)
        self.assertEqual((palermo, catania), (3479099956230698, 3479447370796909))
        self.assertEqual(geohash.standard(*geohash.decode(palermo)), b"sqc8b49rny0")
        self.assertEqual(geohash.standard(*geohash.decode(catania)), b"sqdtr74hyu0")
        distance = geohash.distance(*geohash.decode(palermo), *geohash.decode(catania))
        self.assertEqual(f"{distance:.4f}", "166274.1516")

    def test_a_cell_holds_its_place(self) -> None:
        chance = random.Random(1)
        for _ in range(2000):
            longitude, latitude = chance.uniform(-180, 180), chance.uniform(-85, 85)
            x, y = geohash.decode(geohash.encode(longitude, latitude))
            self.assertLess(abs(x - longitude), 6e-6)
            self.assertLess(abs(y - latitude), 3e-6)
            self.assertEqual(geohash.encode(x, y), geohash.encode(longitude, latitude))

    def test_any_score_is_a_place(self) -> None:
        for score in (float("inf"), float("-inf"), -1.0, 1e300, 2.0**64, 2.0**63, -(2.0**63), 0.5):
            longitude, latitude = geohash.decode(score)
            self.assertTrue(-180 <= longitude <= 180 and -85.06 < latitude < 85.06)

    def test_areas_cover_what_is_inside(self) -> None:
        chance = random.Random(2)
        for _ in range(3000):
            x, y = chance.uniform(-180, 180), chance.uniform(-75, 75)
            dx, dy = (chance.uniform(-1, 1) * 10 ** chance.uniform(-4, 0.5) for _ in range(2))
            if not -180 <= x + dx <= 180:
                continue
            score = geohash.encode(x + dx, y + dy)
            reach = geohash.distance(x, y, *geohash.decode(score)) * 1.0001
            for area in (geohash.Area(x, y, reach, None, 1.0), geohash.Area(x, y, 2.5 * reach, 2.5 * reach, 1.0)):
                self.assertIsNotNone(area.distance_to(*geohash.decode(score)))
                self.assertTrue(any(first <= score < stop for first, stop in area.ranges()), (x, y, dx, dy))


class Order(SynchronousTestCase):
    def test_nearest(self) -> None:
        """Sorted, whatever the size and however many are equal."""
        chance = random.Random(3)
        for size in (1, 2, 6, 7, 8, 40, 41, 500):
            for kinds in (1, 2, 10, 10**6):
                rows = [(float(chance.randrange(kinds)), number) for number in range(size)]
                for count in {1, size // 2 + 1, size}:
                    found = nearest(rows, count)
                    self.assertEqual([rows[number][0] for number in found], sorted(row[0] for row in rows)[:count])
                    self.assertEqual(len(set(found)), count)

    def test_distances_made_to_be_slow(self) -> None:
        """McIlroy's adversary answers each comparison so that the pivot is always a bad one; the depth ends that."""
        size = 3000
        solid = 0
        gas = float(size)
        values = [gas] * size
        candidate = [0]
        compared = [0]

        class Number(float):
            """A number that is fixed when it is looked at."""

            at: int

            def _melt(self, other: Number) -> tuple[float, float]:
                nonlocal solid
                compared[0] += 1
                if values[self.at] == gas and values[other.at] == gas:
                    values[self.at if self.at == candidate[0] else other.at] = float(solid)
                    solid += 1
                if values[self.at] == gas:
                    candidate[0] = self.at
                elif values[other.at] == gas:
                    candidate[0] = other.at
                return values[self.at], values[other.at]

            def __lt__(self, other: object) -> bool:
                one, two = self._melt(other)  # type: ignore[arg-type]
                return one < two

            def __le__(self, other: object) -> bool:
                one, two = self._melt(other)  # type: ignore[arg-type]
                return one <= two

            def __gt__(self, other: object) -> bool:
                one, two = self._melt(other)  # type: ignore[arg-type]
                return one > two

            def __ge__(self, other: object) -> bool:
                one, two = self._melt(other)  # type: ignore[arg-type]
                return one >= two

            def __eq__(self, other: object) -> bool:
                return self is other

            __hash__ = object.__hash__

        rows: list[tuple[float, int]] = []
        for number in range(size):
            made = Number(0)
            made.at = number
            rows.append((made, number))
        rows.append(rows[0])  # equal distances, so that it is not left to Python
        nearest(rows, size)
        self.assertLess(compared[0], 400_000)  # a quadratic run makes millions
