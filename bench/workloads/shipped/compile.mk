CFLAGS = -std=gnu11 -O2 -pthread
probe: $(patsubst %.c,%.o,$(wildcard *.c))
	$(CC) -pthread -o $@ $^
