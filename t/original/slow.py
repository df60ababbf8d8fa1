"""labrea SCRIPT PROGRAM ... -p PORT: in place of the helper that slows a program's reads down.

Starts the program on another port, and on PORT a relay to it that holds back
whatever it reads for 200 ms, as SCRIPT would. Returns when both listen.
"""

import os
import socket
import subprocess
import sys
import threading
import time

DELAY = 0.2


def carry(source, target, delay):
    while data := source.recv(65536):
        time.sleep(delay)
        target.sendall(data)
    target.shutdown(socket.SHUT_WR)


def serve(listener, port):
    while True:
        client, _ = listener.accept()
        server = socket.create_connection(("127.0.0.1", port))
        threading.Thread(target=carry, args=(client, server, DELAY), daemon=True).start()
        threading.Thread(target=carry, args=(server, client, 0), daemon=True).start()


command = sys.argv[2:]
at = command.index("-p") + 1
port = int(command[at])
command[at] = str(port + 1)
listener = socket.create_server(("127.0.0.1", port))
subprocess.run(command, check=True)
if os.fork() == 0:
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    serve(listener, port + 1)
