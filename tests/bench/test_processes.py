import os
import subprocess
import sys
import time

from vggbatch.bench import processes

SHARED = 64 * 2**20
FORK = f"""
import os, time
data = bytearray({SHARED})
for i in range(0, len(data), 4096): data[i] = 1
if os.fork() and os.fork():
    print("ready", flush=True)
time.sleep(60)
"""


def test_a_tree_with_its_memory_and_its_end():
    root = subprocess.Popen([sys.executable, "-c", FORK], stdout=subprocess.PIPE, text=True)
    try:
        root.stdout.readline()
        time.sleep(0.2)
        found = processes.tree(root.pid)
        assert len(found) == 3
        assert found[0] == root.pid
        # three processes that share their pages take them once
        assert SHARED < processes.memory(found) < 2 * SHARED
        assert root.pid in processes.tree(os.getpid())
    finally:
        processes.kill(found)
        root.wait()
    assert all(pid not in processes.tree(os.getpid()) for pid in found)


def test_processes_that_are_gone():
    root = subprocess.Popen([sys.executable, "-c", ""])
    root.wait()
    assert processes.memory([root.pid]) == 0
    processes.kill([root.pid])
