pub struct HttpSource;
