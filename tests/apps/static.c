/* A small static HTTP server: static PORT. Answers a GET with "hello", a POST with its body; one
 * request a connection, one connection at a time. */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

static char buffer[1 << 20];

static void answer(int connection)
{
    size_t size = 0, wanted = sizeof buffer - 1;
    char *body = NULL;
    while (size < wanted) {
        ssize_t got = read(connection, buffer + size, wanted - size);
        if (got <= 0)
            return;
        size += got;
        buffer[size] = 0;
        if (body == NULL && (body = strstr(buffer, "\r\n\r\n")) != NULL) {
            char *length = strcasestr(buffer, "\r\ncontent-length:");
            body += 4;
            wanted = body - buffer + (length && length < body ? strtoul(length + 17, NULL, 10) : 0);
            if (wanted >= sizeof buffer)
                return;
        }
    }
    if (body == NULL)
        return;
    size -= body - buffer;
    if (size == 0) {
        body = "hello";
        size = 5;
    }
    dprintf(connection, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %zu\r\n\r\n", size);
    while (size > 0) {
        ssize_t sent = write(connection, body, size);
        if (sent <= 0)
            return;
        body += sent;
        size -= sent;
    }
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    int on = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    if (argc != 2)
        return 2;
    address.sin_port = htons(atoi(argv[1]));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) || listen(listener, 128)) {
        perror("static");
        return 1;
    }
    for (;;) {
        int connection = accept(listener, NULL, NULL);
        if (connection >= 0) {
            answer(connection);
            close(connection);
        }
    }
}
