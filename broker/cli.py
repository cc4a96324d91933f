"""The `broker` command: start and stop the servers, create a run's streams, and look at everything.

Verbs that look create nothing and consume nothing. Exit status 1 means that the answer is no (a
server does not answer, the audit does not hold), 2 that the question could not be put.
"""

import logging

from broker.program.command import application, takes
from broker.verbs import (
    backup,
    contributors,
    doctor,
    flow,
    groups,
    measure,
    messages,
    purge,
    runs,
    servers,
    streams,
    top,
)
from broker.verbs.looking import Looking
from schemas.settings import LearnerSettings

app = application(
    "The queue, the logs and object storage of Tributary runs.", log_level=logging.ERROR
)

app.command()(servers.up)
app.command()(servers.down)
app.command(cls=Looking)(servers.status)
app.command(**takes(LearnerSettings))(runs.init)
app.command()(contributors.invite)
app.command()(contributors.revoke)
app.command(cls=Looking)(contributors.contributors)
app.command(**contributors.LIMITS)(contributors.gate)
app.command(cls=Looking)(runs.ls)
app.command(cls=Looking)(streams.info)
app.command(cls=Looking)(streams.subjects)
app.command(cls=Looking)(streams.consumers)
app.command(cls=Looking)(top.top)
app.command(cls=Looking)(flow.lag)
app.command(cls=Looking)(flow.refused)
app.command()(flow.tail)
app.command(cls=Looking)(messages.peek)
app.command(cls=Looking)(groups.show)
app.command()(groups.export)
app.command(cls=Looking)(messages.why)
app.command(cls=Looking)(runs.audit)
app.command()(purge.purge)
app.command()(purge.cut_off)
app.command()(purge.let_in)
app.command()(backup.backup)
app.command()(backup.restore)
app.command(cls=Looking)(doctor.doctor)
app.command()(measure.bench)
