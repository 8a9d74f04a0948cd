api := version config gateway client transport
