"""Names of categories: lists that come with the package, and how a person gives them."""
