#!/bin/bash
# The script of every job: constant, with the job's folder as its only argument. What differs is
# in files there: setup.sh (the site's lines), interpreter (one line: a Python), job.json.
cd -- "$1" || exit 97
if [ -f setup.sh ]; then . ./setup.sh; fi
IFS= read -r interpreter <interpreter || exit 98
exec "$interpreter" -P -m nbpipe.batch.job "$1"
