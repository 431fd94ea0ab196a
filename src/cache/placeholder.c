typedef int brisk_cache_layer_begins_here; /* replaced by the layer's first file */
