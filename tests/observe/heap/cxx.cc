// cxx.cc -- C++ that allocates by new, containers and strings, compiled without frame pointers: what the sampler
// must see through operator new and libstdc++.
#include <cstdint>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>

struct Part {
    char bytes[4000];
};

[[gnu::noinline]] static std::vector<std::unique_ptr<Part>> make_parts(int count)
{
    std::vector<std::unique_ptr<Part>> parts;
    for (int i = 0; i < count; i++) {
        parts.push_back(std::make_unique<Part>());
    }
    return parts;
}

[[gnu::noinline]] static std::map<int, std::string> make_names(int count)
{
    std::map<int, std::string> names;
    for (int i = 0; i < count; i++) {
        names[i] = std::string(1000, static_cast<char>('a' + i % 26));
    }
    return names;
}

int main()
{
    auto parts = make_parts(5000);  // 20 MB
    auto names = make_names(10000); // 10 MB and nodes
    void *raw = ::operator new(8 << 20, std::align_val_t(4096));
    std::printf("%zu %zu %d\n", parts.size(), names.size(),
                static_cast<int>(reinterpret_cast<std::uintptr_t>(raw) % 4096));
    ::operator delete(raw, std::align_val_t(4096));
    return 0;
}
