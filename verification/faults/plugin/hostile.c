/* hostile KIND: a program in the place of the probe that does what no probe should. */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(const char *text)
{
    if (write(1, text, strlen(text)) < 0)
        _exit(3);
}

static void wait_for_ever(void)
{
    for (;;)
        pause();
}

/* One for each instance of a sandbox in turn: the wrong type, the wrong number, a name that is none. */
static const char *const types[] = {
    "",
    "{}\n{}\n",
    "{}\n{\"name\":[\"tcp\"],\"ns\":[1]}\n",
    "{}\n{\"name\":\"getppid\",\"ns\":[\"a\"]}\n",
    "{}\n{\"name\":\"create\",\"ns\":[null]}\n",
    "{\"name\":\"tcp\",\"ns\":[[1],{}]}\n{\"name\":\"tcp\",\"ns\":{\"a\":1}}\n",
    "{}\n{\"name\":{},\"unavailable\":{}}\n{\"name\":7,\"ns\":1e-320}\n",
    "{\"cold\":\"isobench.fio\"}\n",
    "{\"warm\":1,\"resident\":[],\"pages\":\"x\"}\n",
    "{\"jobs\":[{\"jobname\":\"seqwrite-1m\",\"error\":0,\"write\":{\"iops\":1e-320}}]}\n",
    "{\"jobs\":{\"a\":1}}\n",
    "{\"total\":\"1\",\"bytes\":true,\"resident\":-1}\n",
    "{\"tcp\":[],\"udp\":-1,\"token\":\"00\\u0000\",\"addresses\":7}\n",
    "{\"folders\":\"\\ud800\",\"file system\":\"\\udfff\"}\n",
    "{\"a\":[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]}\n",
};

int main(int argc, char **argv)
{
    const char *kind = argc > 1 ? argv[1] : "";
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    if (!strcmp(kind, "silent")) {
        fprintf(stderr, "I shall never speak\n");
        wait_for_ever();
    }
    if (!strcmp(kind, "hog")) /* more than its cgroup may have, before it is ready */
        for (char *p;;) {
            if ((p = malloc(1 << 20)) == NULL)
                return 4;
            memset(p, 1, 1 << 20);
        }
    if (!strcmp(kind, "liar"))
        say("hello\n");
    say("ready\n");
    if (!strcmp(kind, "stubborn"))
        wait_for_ever();
    while (!strcmp(kind, "flood"))
        say("xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    while (!strcmp(kind, "errors"))
        fprintf(stderr, "this is nobody's to read, and there is no end to it\n");
    if (!strcmp(kind, "half"))
        say("{\"name\": \"getpp");
    if (!strcmp(kind, "garbage"))
        say("\xff\xfe\x01 \x1b[2J]]>{{{\n");
    if (!strcmp(kind, "wrong"))
        say("{\"name\": \"getppid\", \"ns\": \"-1e999\"}\n[1]\n");
    if (!strcmp(kind, "types")) /* every line is JSON, and an object, and not what was asked for */
        say(argc > 2 ? types[(unsigned)atoi(argv[2]) % (sizeof types / sizeof *types)] : "");
    if (!strcmp(kind, "forks")) {
        for (;;) {
            pid_t pid = fork();
            if (pid == 0)
                wait_for_ever();
            if (pid < 0)
                break;
        }
        char text[128];
        snprintf(text, sizeof text, "{\"error\": \"fork: %s\"}\n", strerror(errno));
        say(text);
        return 1;
    }
    return 0;
}
