"""Distances on the globe, by points in space: no special case at the date line or the poles.

A vendor is a point on a sphere, three coordinates in kilometres from its centre. Points within a distance of each other
over the ground are within a shorter one straight through the earth (the chord), and that one a database can index.
"""

from math import asin, cos, dist, pi, radians, sin
from typing import Final

from domain.vendor import Location

EARTH_RADIUS_KM: Final = 6371.0087714
"""The mean radius, as Lucene has it."""

RADIUS_GRACE_KM: Final = 0.001
"""A radius takes in a metre more, so that what lies on its edge is inside however an engine rounds."""


def point_km(location: Location) -> tuple[float, float, float]:
    lat, lon = radians(location.lat), radians(location.lon)
    return (
        EARTH_RADIUS_KM * cos(lat) * cos(lon),
        EARTH_RADIUS_KM * cos(lat) * sin(lon),
        EARTH_RADIUS_KM * sin(lat),
    )


def chord_km(distance_km: float) -> float:
    """The straight line between points that are so far apart over the ground; half the earth or more bounds nothing."""
    if distance_km >= pi * EARTH_RADIUS_KM:
        return 4 * EARTH_RADIUS_KM  # twice the longest: how opposite points come out of rounding does not matter
    return 2 * EARTH_RADIUS_KM * sin(distance_km / (2 * EARTH_RADIUS_KM))


def distance_km(one: Location, other: Location) -> float:
    """Over the ground, along a great circle."""
    chord = dist(point_km(one), point_km(other))
    return 2 * EARTH_RADIUS_KM * asin(min(chord / (2 * EARTH_RADIUS_KM), 1.0))
