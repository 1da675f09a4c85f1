#!/bin/sh
# The browser stands for machines of players. Where it has to share one with the server, it is the one that waits.
exec nice -n 10 "${REFEREE_CHROMIUM:-/usr/bin/chromium}" "$@"
