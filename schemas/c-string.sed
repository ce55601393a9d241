# Each line of the input as a C string literal that ends in a newline.
s/\\/\\\\/g
s/"/\\"/g
s/^/"/
s/$/\\n"/
