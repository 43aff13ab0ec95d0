"""Runs on the host, once for each connection of a guest: hands it on to a port of the host's loopback interface.

Standard input and output are the guest's end. Usage: relay.py PORT
"""
import socket
import sys
import threading


def pump(read, write, end):
    """Copies until there is no more."""
    try:
        while True:
            data = read(65536)
            if not data:
                break
            write(data)
    except OSError:
        pass
    end()


with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as server:
    guest = open(0, "rb", buffering=0), open(1, "wb", buffering=0)
    threading.Thread(target=pump, args=(guest[0].read, server.sendall, lambda: server.shutdown(socket.SHUT_WR)),
                     daemon=True).start()
    pump(server.recv, guest[1].write, guest[1].close)
