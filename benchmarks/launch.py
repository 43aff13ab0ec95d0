"""Runs one command and prints what it cost: as JSON, [wall seconds, CPU seconds, peak memory in bytes, exit code].

Linux counts in a process's peak memory what its parent had when it was started. So this small program, and not the
large one that asks, starts what is measured:

    python -I -S launch.py OUTPUT COMMAND ...        OUTPUT: what the command writes to stderr goes there
"""
import os
import sys
import time

_, output, *command = sys.argv
redirections = [(os.POSIX_SPAWN_OPEN, 1, os.devnull, os.O_WRONLY, 0),
                (os.POSIX_SPAWN_OPEN, 2, output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)]
start = time.perf_counter()
process = os.posix_spawnp(command[0], command, os.environ, file_actions=redirections)
_, status, used = os.wait4(process, 0)
wall = time.perf_counter() - start
print([wall, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024, os.WEXITSTATUS(status) if os.WIFEXITED(status) else -1])
