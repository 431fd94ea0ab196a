/*
 * api_main.cpp -- a program in C++17 over the whole public interface, linked with the library.
 */
#include <brisk/brisk.h>

int main()
{
    return brisk_err_name(BRISK_OK) == nullptr || brisk_version()[0] == '\0';
}
