"""A server that asks the kernel how many bytes wait (FIONREAD) before it receives: PORT and the length of each request."""

import fcntl
import socket
import sys
import termios

listener = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=16)
LENGTH = int(sys.argv[2])
while True:
    connection, _ = listener.accept()
    with connection:
        waiting = bytearray(4)
        while int.from_bytes(waiting, "little") < LENGTH:
            fcntl.ioctl(connection, termios.FIONREAD, waiting)
        request = connection.recv(LENGTH)
        status = 200 if len(request) == LENGTH else 500
        connection.sendall(f"HTTP/1.1 {status} Reason\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
