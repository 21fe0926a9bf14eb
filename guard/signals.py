"""Django signals for what guard tells the world. Receivers get `event`; what they raise is logged.

They are sent in the thread that learned of it, most often guard's heartbeat, and never inside a request's transaction.
"""

from __future__ import annotations

from django.dispatch import Signal

#: A release that has the migration used what it takes away. `event`: guard.events.StaleAccess; once for the fleet per
#: column and call site.
stale_access = Signal()

#: This process relies on what was taken away, or declares columns that the database has not. `event`:
#: guard.events.ReleaseRefused; once for each change of its reasons.
release_refused = Signal()

#: An operator told the gate something. `event`: guard.events.OrderGiven; in the process that took the order.
order_given = Signal()

#: A contract step went from one state to another. `event`: guard.events.StepChanged; in the process that took it there.
step_changed = Signal()
