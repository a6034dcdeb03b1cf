/*
 * The process of a holder pod: it keeps a machine's requests booked at the scheduler for as long as the machine lives, and does nothing.
 *
 * It must not end on SIGTERM: a pod whose processes have ended counts as Succeeded, and kube-scheduler gives its room away while the
 * machine still runs. The operator ends it by deleting the pod with a grace period of 0 once the node has confirmed that the
 * machine is gone; the kubelet then sends SIGKILL.
 *
 * It starts nothing, so it reaps nothing. Built by: gcc -static -Os -s -o xvirt-holder holder.c
 */
#include <signal.h>
#include <unistd.h>

int main(void)
{
    static const int ignored[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2, SIGALRM};
    unsigned at;

    for (at = 0; at < sizeof ignored / sizeof ignored[0]; at++)
        signal(ignored[at], SIG_IGN);
    for (;;)
        pause();
}
