/* rig-agent: runs shell commands sent over virtio-serial ports.
 *
 * One process per port (/dev/virtio-ports name "rig.N"). Every message is
 * one text line, so either side resynchronises at the next newline:
 *   host -> guest   H <sid>            open a session (kills what ran before)
 *                   C <sid> <b64>      command line for /bin/sh -c (may come in
 *                                      pieces: several C lines, then R)
 *                   R <sid>            run
 *                   I <sid> <b64>      stdin data        E <sid>   stdin end
 *                   K <sid> <num>      signal to the process group
 *                   Q <sid>            session over
 *                   P <sid>            still there?
 *   guest -> host   h <sid>            session open
 *                   o|e <sid> <b64>    stdout / stderr data
 *                   a <sid>            one I line consumed
 *                   x <sid> <rc>       exit status (128+signal if killed)
 *                   p|z <sid>          answer to P: yes | no such session
 *
 * The port's hang-up state says little: the kernel learns of a close and a
 * reopen by another queue than the data, so the HUP of the client before may be
 * seen after the first lines of the client now. It only counts when it lasts.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MAXLINE (1 << 20)
static int port;
static const char *B = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static signed char D[256];

static long hup;                                         /* how long, in ms */
static long ms(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000L + t.tv_nsec / 1000000;
}
static void wr(const char *p, size_t n)
{
	long since = 0;
	while (n) {
		ssize_t r = write(port, p, n);
		if (r > 0) { p += r; n -= r; continue; }
		if (r < 0 && errno == EINTR) continue;
		struct pollfd f = { port, POLLOUT, 0 };
		poll(&f, 1, 200);
		if (!(f.revents & POLLHUP)) { since = 0; continue; }
		if (!since) since = ms();
		if (ms() - since > 1000) return;         /* host gone: drop */
		usleep(5000);
	}
}
static void say(const char *fmt, ...)
{
	char b[256];
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(b, sizeof b, fmt, ap);
	va_end(ap);
	wr(b, n);
}
static void say64(char t, const char *sid, const unsigned char *p, size_t n)
{
	static char b[32768 * 2];
	int o = sprintf(b, "%c %s ", t, sid);
	for (size_t i = 0; i < n; i += 3) {
		unsigned v = p[i] << 16 | (i + 1 < n ? p[i + 1] << 8 : 0) | (i + 2 < n ? p[i + 2] : 0);
		b[o++] = B[v >> 18]; b[o++] = B[v >> 12 & 63];
		b[o++] = i + 1 < n ? B[v >> 6 & 63] : '='; b[o++] = i + 2 < n ? B[v & 63] : '=';
	}
	b[o++] = '\n';
	wr(b, o);
}
static size_t un64(char *s)                              /* in place */
{
	size_t o = 0; unsigned v = 0; int k = 0;
	for (unsigned char *p = (unsigned char *)s; *p; p++) {
		if (D[*p] < 0) continue;
		v = v << 6 | D[*p];
		if (++k == 4) { s[o++] = v >> 16; s[o++] = v >> 8; s[o++] = v; k = 0; v = 0; }
	}
	if (k == 2) s[o++] = v >> 4;
	if (k == 3) { s[o++] = v >> 10; s[o++] = v >> 2; }
	return o;
}

static char sid[64];
static char *cmd; static size_t cmdn;
static pid_t kid;
static int kin = -1, kout = -1, kerr = -1;
static char *inb; static size_t inn, ino; static int inacks, ineof;

static void cl(int *f) { if (*f >= 0) close(*f); *f = -1; }
static void reset(void)
{
	if (kid > 0) kill(-kid, SIGKILL);               /* reaped in serve(): it may hang in I/O */
	kid = 0; cl(&kin); cl(&kout); cl(&kerr);
	free(cmd); cmd = NULL; cmdn = 0;
	free(inb); inb = NULL; inn = ino = 0; inacks = ineof = 0;
	sid[0] = 0;
}
static void run(void)
{
	int i[2], o[2], e[2];
	if (pipe2(i, O_CLOEXEC) || pipe2(o, O_CLOEXEC) || pipe2(e, O_CLOEXEC)) { say("x %s 125\n", sid); return; }
	cmd = realloc(cmd, cmdn + 1); cmd[cmdn] = 0;
	kid = fork();
	if (!kid) {
		setsid();
		sigset_t all;
		sigemptyset(&all); sigprocmask(SIG_SETMASK, &all, NULL);
		dup2(i[0], 0); dup2(o[1], 1); dup2(e[1], 2);
		signal(SIGPIPE, SIG_DFL);
		execl("/bin/bash", "bash", "-c", cmd, (char *)0);
		execl("/bin/sh", "sh", "-c", cmd, (char *)0);
		_exit(127);
	}
	close(i[0]); close(o[1]); close(e[1]);
	kin = i[1]; kout = o[0]; kerr = e[0];
	fcntl(kin, F_SETFL, O_NONBLOCK); fcntl(kout, F_SETFL, O_NONBLOCK); fcntl(kerr, F_SETFL, O_NONBLOCK);
}
static void line(char *l)
{
	char t = l[0], s[64]; int off = 0;
	if (sscanf(l + 1, " %63s %n", s, &off) < 1) return;
	char *rest = l + 1 + off;
	if (t == 'H') { reset(); hup = 0; strcpy(sid, s); say("\nh %s\n", sid); return; }
	if (t == 'P') { say("%c %s\n", strcmp(s, sid) ? 'z' : 'p', s); return; }
	if (strcmp(s, sid)) return;
	if (t == 'Q') { reset(); return; }
	if (t == 'C') { size_t n = un64(rest); cmd = realloc(cmd, cmdn + n + 1); memcpy(cmd + cmdn, rest, n); cmdn += n; }
	else if (t == 'R' && !kid) run();
	else if (t == 'I') {
		size_t n = un64(rest);
		if (kin < 0) { say("a %s\n", sid); return; }
		inb = realloc(inb, inn + n + 1); memcpy(inb + inn, rest, n); inn += n; inacks++;
	} else if (t == 'E') ineof = 1;
	else if (t == 'K' && kid > 0) kill(-kid, atoi(rest));
}
static int drain(int *fd, char t)
{
	unsigned char b[24576];
	ssize_t r = read(*fd, b, sizeof b);
	if (r > 0) { say64(t, sid, b, r); return 1; }
	if (r == 0 || (errno != EAGAIN && errno != EINTR)) cl(fd);
	return 0;
}
static void nothing(int s) { (void)s; }
static void serve(const char *dev)
{
	static char buf[MAXLINE]; size_t n = 0;
	prctl(PR_SET_NAME, "rig-agent");
	/* SIGIO is let in only where we wait for the host to come back */
	sigset_t io, none;
	sigemptyset(&none); sigemptyset(&io); sigaddset(&io, SIGIO);
	sigprocmask(SIG_BLOCK, &io, NULL);
	signal(SIGIO, nothing);
	while ((port = open(dev, O_RDWR | O_CLOEXEC | O_NONBLOCK)) < 0) usleep(100000);
	fcntl(port, F_SETOWN, getpid());
	fcntl(port, F_SETFL, O_RDWR | O_NONBLOCK | O_ASYNC);
	for (;;) {
		struct pollfd f[4] = { { port, POLLIN, 0 }, { kout, POLLIN, 0 }, { kerr, POLLIN, 0 }, { inn > ino ? kin : -1, POLLOUT, 0 } };
		if (poll(f, 4, kid > 0 ? 20 : 1000) < 0 && errno != EINTR) usleep(10000);
		ssize_t got = 0;
		if (f[0].revents & POLLIN) {
			ssize_t r = got = read(port, buf + n, sizeof buf - 1 - n);
			if (r > 0) {
				n += r;
				char *s = buf, *e;
				while ((e = memchr(s, '\n', buf + n - s))) { *e = 0; line(s); s = e + 1; }
				n -= s - buf; memmove(buf, s, n);
				if (n >= sizeof buf - 2) n = 0;
			}
		}
		if (f[0].revents & POLLHUP) {                /* host side closed, or was */
			if (!hup) hup = ms();
			if (sid[0] && ms() - hup > 1500) reset();
			/* a state change raises SIGIO and ends the wait */
			if (got <= 0) {                 /* POLLIN is always set here */
				struct timespec w = { 0, (sid[0] ? 20 : 500) * 1000000L };
				ppoll(NULL, 0, &w, &none);
			}
			if (!sid[0]) continue;
		} else
			hup = 0;
		if (kout >= 0 && f[1].revents) drain(&kout, 'o');
		if (kerr >= 0 && f[2].revents) drain(&kerr, 'e');
		if (kin >= 0 && inn > ino) {
			ssize_t r = write(kin, inb + ino, inn - ino);
			if (r > 0) ino += r;
			else if (r < 0 && errno == EPIPE) { cl(&kin); ino = inn; }
		}
		if (inn == ino && inacks) { inn = ino = 0; while (inacks) { say("a %s\n", sid); inacks--; } }
		if (ineof && inn == ino) cl(&kin);
		int st; pid_t w;
		while ((w = waitpid(-1, &st, WNOHANG)) > 0)
			if (w == kid) {
				kid = 0;
				while (kout >= 0 && drain(&kout, 'o'));
				while (kerr >= 0 && drain(&kerr, 'e'));
				say("x %s %d\n", sid, WIFEXITED(st) ? WEXITSTATUS(st) : 128 + WTERMSIG(st));
				cl(&kin); cl(&kout); cl(&kerr);
			}
	}
}
int main(void)
{
	int got = 0;
	memset(D, -1, sizeof D);
	for (int i = 0; i < 64; i++) D[(int)B[i]] = i;
	signal(SIGPIPE, SIG_IGN);
	for (int tries = 0; tries < 300 && !got; tries++) {
		DIR *d = opendir("/sys/class/virtio-ports");
		struct dirent *e;
		while (d && (e = readdir(d))) {
			char p[300], nm[64] = "";
			snprintf(p, sizeof p, "/sys/class/virtio-ports/%s/name", e->d_name);
			FILE *fp = fopen(p, "r");
			if (!fp) continue;
			if (fgets(nm, sizeof nm, fp) && !strncmp(nm, "rig.", 4)) {
				got++;
				if (!fork()) { snprintf(p, sizeof p, "/dev/%s", e->d_name); serve(p); _exit(0); }
			}
			fclose(fp);
		}
		if (d) closedir(d);
		if (!got) usleep(20000);
	}
	for (;;) if (wait(NULL) < 0) pause();
}
