typedef int brisk_engine_layer_begins_here; /* replaced by the layer's first file */
