"""What kind of arithmetic is it?  Inferred from outside, from numbers chosen so that each kind gives other bits."""

from conformance.adapter.probe.classes import inferred
from conformance.adapter.probe.observation import UNOBSERVABLE, Observation
from conformance.adapter.probe.probing import probe

__all__ = ["UNOBSERVABLE", "Observation", "inferred", "probe"]
