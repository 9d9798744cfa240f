"""Poses as an arbiter of Gunicorn with a control socket that behaves as the first argument says."""

import ctypes
import json
import os
import socket
import struct
import sys
import time

manner, path = sys.argv[1], sys.argv[2]
listener = socket.socket(socket.AF_UNIX)
listener.bind(path + ".ctl")
if manner == "foreign":
    os.chown(path + ".ctl", 65534, 65534)
if manner == "other" and os.fork() == 0:
    # The socket counts as that of the process that begins to listen. It ends with its parent (PR_SET_PDEATHSIG, SIGKILL).
    ctypes.CDLL(None).prctl(1, 9)
    listener.listen()
    time.sleep(10**6)
if manner != "other":
    listener.listen(0 if manner == "full" else 64)


def answer(connection):
    """Keeps each question, and answers as Gunicorn does."""
    while header := connection.recv(4, socket.MSG_WAITALL):
        question = connection.recv(*struct.unpack(">I", header), socket.MSG_WAITALL)
        with open(path + ".asked", "ab") as asked:
            asked.write(question + b"\n")
        data = {"workers_target": 9, "reloads": 2, "workers": []}
        said = {"id": json.loads(question)["id"], "status": "ok", "data": data}
        send(connection, json.dumps(said).encode())


def send(connection, said):
    connection.sendall(struct.pack(">I", len(said)) + said)


kept = []
while manner not in ("full", "other", "foreign"):
    connection, _ = listener.accept()
    if manner == "good":
        answer(connection)
    elif manner == "silent":
        kept.append(connection)
    elif manner == "large":
        connection.sendall(b"\x7f\xff\xff\xff{")
        kept.append(connection)
    elif manner == "garbage":
        send(connection, b"\xff" * 99)
    elif manner == "short":
        connection.recv(4096)
        connection.sendall(b"\x00\x00\x00\x63{}")
    elif manner == "closed":
        connection.recv(4096)
    connection = None
while True:
    time.sleep(10**6)
