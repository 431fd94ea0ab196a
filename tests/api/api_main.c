/*
 * api_main.c -- a program in strict C11 over the whole public interface, linked with the library.
 */
#include <brisk/brisk.h>

int main(void)
{
    return brisk_err_name(BRISK_OK) == NULL || brisk_version()[0] == '\0';
}
