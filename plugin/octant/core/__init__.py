"""An open collection from the inside: what it consists of, and how it comes to be, opens and learns.

Everything here is written once, as flows; :class:`octant.Collection` drives them, sync or async.
"""

from octant.core.core import Core

__all__ = ["Core"]
