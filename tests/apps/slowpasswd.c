/* A service for nsswitch.conf(5), of whom all look-ups of one user, -DWHO_ID and -DWHO_NAME, hang
   as those of a directory server that has gone; everybody else is another service's matter. */
#include <nss.h>
#include <pwd.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

static void hang(void)
{
    prctl(PR_SET_NAME, "hangs"); /* whoever looks at /proc/PID/comm knows */
    for (;;)
        pause();
}

enum nss_status _nss_compat_getpwuid_r(uid_t uid, struct passwd *found, char *buffer, size_t size,
                                       int *error)
{
    (void)found, (void)buffer, (void)size, (void)error;
    if (uid == WHO_ID)
        hang();
    return NSS_STATUS_NOTFOUND;
}

enum nss_status _nss_compat_getpwnam_r(const char *name, struct passwd *found, char *buffer,
                                       size_t size, int *error)
{
    (void)found, (void)buffer, (void)size, (void)error;
    if (!strcmp(name, WHO_NAME))
        hang();
    return NSS_STATUS_NOTFOUND;
}
