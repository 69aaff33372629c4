from prefect import flow, task

ORDERS = {
    "north": ["19.90", "5.00", "7.25"],
    "south": ["100.00"],
    "west": ["1.10", "2.20"],
}


@task
def extract() -> list[str]:
    return list(ORDERS)


@task
def total(region: str) -> float:
    return sum(float(amount) for amount in ORDERS[region])


@task
def load(regions: list[str], totals: list[float]) -> float:
    for region, amount in zip(regions, totals):
        print(f"{region}: {amount:.2f}")
    return sum(totals)


@flow(log_prints=True)
def etl():
    regions = extract()
    totals = total.map(regions).result()
    print(f"all regions: {load(regions, totals):.2f}")


if __name__ == "__main__":
    etl()
