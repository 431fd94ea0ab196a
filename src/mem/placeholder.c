typedef int brisk_mem_layer_begins_here; /* replaced by the layer's first file */
