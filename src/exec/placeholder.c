typedef int brisk_exec_layer_begins_here; /* replaced by the layer's first file */
