#!/bin/sh
# A runner for `lode cost build --runner` that measures on a machine behind ssh.
#
#   LODE_SSH_HOST=pi@raspberrypi LODE_SSH_COMMAND="python3 run_onnx.py" \
#       lode cost build -s SPACE -o pi.json --runner runners/ssh.sh --runner-jobs 16
#
# Copies the job directories given as arguments to the machine, runs the command there with them as its
# arguments, and copies each result.json back. The command is itself a runner, such as run_onnx.py, that lies
# on the machine. Keys must be set up so that ssh asks nothing. LODE_SSH_OPTIONS: options for ssh and scp, such as
# "-o ControlMaster=auto -o ControlPath=~/.ssh/lode-%C -o ControlPersist=60", which saves the greeting of each.
set -u
say() { echo "ssh.sh: $*" >&2; }
[ $# -gt 0 ] || { say "want job directories as arguments"; exit 2; }
[ -n "${LODE_SSH_HOST:-}" ] || { say "set LODE_SSH_HOST to the machine, e.g. pi@raspberrypi"; exit 2; }
[ -n "${LODE_SSH_COMMAND:-}" ] || { say "set LODE_SSH_COMMAND to the runner there, e.g. 'python3 run_onnx.py'"; exit 2; }
options=${LODE_SSH_OPTIONS:-}
# shellcheck disable=SC2086 # options are words
remote() { ssh -n -o BatchMode=yes $options "$LODE_SSH_HOST" "$1"; }

there=$(remote 'mktemp -d') || { say "cannot make a directory on $LODE_SSH_HOST"; exit 1; }
case $there in /*) ;; *) say "$LODE_SSH_HOST answered \"$there\" to mktemp -d"; exit 1 ;; esac
trap 'remote "rm -rf $there" || :' EXIT
names=""
for directory in "$@"; do names="$names $there/$(basename "$directory")"; done

# shellcheck disable=SC2086
scp -q -r -o BatchMode=yes $options "$@" "$LODE_SSH_HOST:$there/" || { say "cannot copy jobs to $LODE_SSH_HOST"; exit 1; }
remote "$LODE_SSH_COMMAND$names" || { say "\`$LODE_SSH_COMMAND\` failed on $LODE_SSH_HOST"; exit 1; }
for directory in "$@"; do
    # shellcheck disable=SC2086
    scp -q -o BatchMode=yes $options "$LODE_SSH_HOST:$there/$(basename "$directory")/result.json" "$directory/" ||
        { say "\`$LODE_SSH_COMMAND\` wrote no result.json for $(basename "$directory")"; exit 1; }
done
