#!/bin/bash
# The script of every job: constant, with the job's folder as its only argument. What differs is
# in files there: variables, setup.sh (the site's lines), interpreter (one line: a Python), module
# (what it runs, where that is not a reference run), job.json.
cd -- "$1" || exit 97
# Read by nobody as shell: one NAME=VALUE a line, exported as it stands. Before setup.sh, which may
# use them, and after it, which may have set them.
variables() { while IFS= read -r each; do export "$each"; done <variables; }
if [ -f variables ]; then variables; fi
if [ -f setup.sh ]; then . ./setup.sh; fi
if [ -f variables ]; then variables; fi
IFS= read -r interpreter <interpreter || exit 98
module=nbpipe.batch.job
if [ -f module ]; then IFS= read -r module <module || exit 98; fi
exec "$interpreter" -P -m "$module" "$1"
