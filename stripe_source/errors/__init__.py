"""Everything that can go wrong, as exceptions that say what was requested, what came back and what to do.

    StripeSourceError                   exit code 1
    ├── ConfigurationError              2: the configuration cannot work
    │   ├── MissingKey
    │   ├── MalformedKey
    │   ├── PublishableKey
    │   ├── UnknownTable
    │   ├── UnknownMarker
    │   ├── InvalidBounds
    │   ├── InvalidOption
    │   ├── RowFunctionFailed           of `add_map`, `add_filter` or `add_yield_map`
    │   ├── NotPicklable                a source was to be pickled
    │   ├── NewerState                  a later release wrote the state of the pipeline
    │   ├── ViewMapError                a file of a schema map of views says something that cannot be
    │   ├── NotOurView                  the dataset has tables or views of the names of ours
    │   ├── TqlSyntaxError              a program of Striim's that cannot be read, with line and column
    │   ├── TqlUnsupported              one that asks for what cannot be carried over
    │   └── MixedData                   the dataset holds another account's data, or the other mode's
    ├── StripeError                     1: Stripe answered with an error, or not at all
    │   ├── AuthenticationError         3: 401
    │   ├── PermissionDenied            3: 403
    │   ├── NotEnabled                  the account does not have the product
    │   ├── ResourceMissing             400 or 404 `resource_missing`
    │   ├── InvalidRequest              any other 4xx
    │   ├── Redirected                  2: a 3xx, which we never follow
    │   ├── RateLimited                 429 after all attempts
    │   ├── ApiError                    5xx after all attempts
    │   ├── Unreachable                 no answer after all attempts
    │   ├── BrokenAnswer                an answer that cannot be read, after all attempts
    │   │   └── AnswerTooLarge          an answer of more than 64 MB
    │   └── EndlessPaging               a list that never ends
    ├── SchemaFrozen                    1: Stripe sends something new, and the schema contract freezes the table
    ├── TablesNotRead                   1: a generator could not read some tables
    ├── DestinationError                1: the destination is down, full, or refuses
    └── Busy                            1: another process runs the pipeline
"""
from stripe_source.errors.base import StripeSourceError
from stripe_source.errors.configuration import (
    ConfigurationError,
    InvalidBounds,
    InvalidOption,
    MalformedKey,
    MissingKey,
    MixedData,
    NewerState,
    NotOurView,
    NotPicklable,
    NotPickled,
    PublishableKey,
    RowFunctionFailed,
    TqlSyntaxError,
    TqlUnsupported,
    UnknownMarker,
    UnknownTable,
    ViewMapError,
)
from stripe_source.errors.loading import (
    Busy,
    DestinationError,
    SchemaFrozen,
    TablesNotRead,
)
from stripe_source.errors.stripe import (
    AnswerTooLarge,
    ApiError,
    AuthenticationError,
    BrokenAnswer,
    EndlessPaging,
    InvalidRequest,
    NotEnabled,
    PermissionDenied,
    RateLimited,
    Redirected,
    ResourceMissing,
    StripeError,
    Unreachable,
)

__all__ = [
    "AnswerTooLarge",
    "ApiError",
    "AuthenticationError",
    "BrokenAnswer",
    "Busy",
    "ConfigurationError",
    "DestinationError",
    "EndlessPaging",
    "InvalidBounds",
    "InvalidOption",
    "InvalidRequest",
    "MalformedKey",
    "MissingKey",
    "MixedData",
    "NewerState",
    "NotEnabled",
    "NotOurView",
    "NotPicklable",
    "NotPickled",
    "PermissionDenied",
    "PublishableKey",
    "RateLimited",
    "Redirected",
    "ResourceMissing",
    "RowFunctionFailed",
    "SchemaFrozen",
    "StripeError",
    "StripeSourceError",
    "TablesNotRead",
    "TqlSyntaxError",
    "TqlUnsupported",
    "UnknownMarker",
    "UnknownTable",
    "Unreachable",
    "ViewMapError",
]
